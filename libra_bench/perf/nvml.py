"""What NVIDIA's management library tells of a GPU: driver, clocks, power limit, energy."""

from __future__ import annotations

from typing import Any

import torch


class PowerMeter:
    """The energy counter of one device, or the reason why there is none."""

    def __init__(self, device: torch.device) -> None:
        self.reason: str | None = None
        self._nvml: Any = None
        if device.type != "cuda":
            self.reason = "no NVML: the device is no GPU"
            return
        try:
            import pynvml
        except ImportError:
            self.reason = "no NVML: pip install nvidia-ml-py"
            return
        try:
            pynvml.nvmlInit()
            # NVML counts all GPUs of the machine, torch those that it is shown.
            identity = str(torch.cuda.get_device_properties(device).uuid)
            self._handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{identity}".encode())
            self._nvml = pynvml
            self.joules()
        except pynvml.NVMLError as error:
            self.reason, self._nvml = f"NVML: {error}", None

    def joules(self) -> float | None:
        """Energy since the driver was loaded; None without NVML."""
        if self._nvml is None:
            return None
        return float(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)) / 1000

    def facts(self) -> dict[str, Any]:
        """Driver, clocks in MHz as they are now, power limit in watts; or the reason."""
        if self._nvml is None:
            return {"nvml": self.reason}
        nvml, handle = self._nvml, self._handle
        driver = nvml.nvmlSystemGetDriverVersion()
        return {
            "driver": driver.decode() if isinstance(driver, bytes) else driver,
            "clock_sm_mhz": nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM),
            "clock_memory_mhz": nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM),
            "power_limit_watts": nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000,
        }
