"""What the measurements of generation and of training share: the device, and rates of a peak."""

from __future__ import annotations

import math
import os
import platform
import resource
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from libra_bench.core.errors import InputError
from libra_bench.core.names import unknown_name
from libra_bench.model.libra import LibraModel
from libra_bench.perf.count import Cost
from libra_bench.perf.hardware import Gpu, gpu_of_device, gpus
from libra_bench.perf.nvml import PowerMeter
from libra_bench.perf.shape import ModelShape, shape_of

ATTENTION = ("sdpa", "eager", "flash_attention_2")


@dataclass
class Subject:
    """What is measured.

    Attributes:
        model_id: name of the model or of the shape.
        end_tokens: ids that end a report.
        pad_token: id that fills what is shorter.
    """

    model: LibraModel
    model_id: str
    random_weights: bool
    end_tokens: Sequence[int]
    pad_token: int

    @property
    def shape(self) -> ModelShape:
        """Its sizes."""
        return shape_of(self.model.config, self.model.vision_tower.encoder.config)

    def counted_shape(self, positions: int) -> ModelShape:
        """Its sizes, once they are known to be what operations are counted for.

        Args:
            positions: what the longest sequence takes, its image left out.

        Raises:
            InputError: matrices that the shape does not explain, or too long a sequence.
        """
        shape = self.shape
        matrices = sum(
            one.numel()
            for name, one in self.model.language_model.named_parameters()
            if one.ndim == 2 and "lora_" not in name
        )
        if matrices != shape.language_parameters:
            kind = self.model.config.language.model_type
            raise InputError(
                f"operations of a {kind} are not counted here: its matrices hold {matrices:,} "
                f"weights, its sizes explain {shape.language_parameters:,}"
            )
        length, room = positions + shape.image_tokens, self.model.config.context_length
        if length > room:
            raise InputError(
                f"prompt, image and new tokens take {length} positions, {self.model_id} has {room}"
            )
        return shape


@dataclass(frozen=True)
class Effort:
    """How long is measured: at least so many repetitions and so many seconds."""

    repetitions: int = 3
    seconds: float = 1.0
    warm_up: int = 1

    def __post_init__(self) -> None:
        if self.repetitions < 1 or not 0 <= self.seconds < math.inf or self.warm_up < 0:
            raise InputError("at least one repetition; seconds and warm-up must not be negative")


def use_attention(model: LibraModel, name: str) -> None:
    """Let the language model attend by `sdpa`, `eager` or `flash_attention_2`.

    Raises:
        InputError: an unknown name, or flash-attn is not installed.
    """
    if name not in ATTENTION:
        raise unknown_name("attention", name, ATTENTION)
    if name == "flash_attention_2" and (model.device.type != "cuda" or model.dtype.itemsize != 2):
        raise InputError(
            f"--attention {name}: needs a GPU and bfloat16 or float16; the model is "
            f"{str(model.dtype).removeprefix('torch.')} on {model.device.type}"
        )
    try:
        model.language_model.set_attn_implementation(name)
    except (ImportError, ValueError) as error:
        raise InputError(f"--attention {name}: {error}") from None


def peak_bytes(device: torch.device) -> int:
    """Peak memory: allocated on a GPU since the last reset, resident of the process on a CPU."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if platform.system() == "Darwin" else peak * 1024


def reset_peak(device: torch.device) -> None:
    """Start counting a GPU's peak memory anew."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def device_name(device: torch.device) -> str:
    """The device in the driver's words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return _cpu_facts().get("model name") or platform.processor() or platform.machine()


def _cpu_facts() -> dict[str, str]:
    """What Linux says of the first processor: its name, its clock as it is now."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in lines[: lines.index("") if "" in lines else None])
    return {name.strip(): value.strip() for name, _, value in pairs}


def common(subject: Subject, meter: PowerMeter, effort: Effort) -> dict[str, Any]:
    """Fields of a record that do not depend on the work."""
    device, language = subject.model.device, subject.model.language_model
    name = device_name(device)
    gpu = gpu_of_device(name) if device.type == "cuda" else None
    return {
        "model": subject.model_id,
        "random_weights": subject.random_weights,
        "shape": asdict(subject.shape),
        "device": name,
        "gpu": None if gpu is None else gpu.id,
        "facts": {
            "threads": torch.get_num_threads(),
            # Above the number of cores others were at work as well, and the times are too long.
            "load_average": os.getloadavg()[0],
            "cpus": os.cpu_count(),
            "cpu_mhz": _cpu_facts().get("cpu MHz"),
            "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "effort": asdict(effort),
            "cuda": torch.version.cuda,
            **meter.facts(),
        },
        "dtype": str(subject.model.dtype).removeprefix("torch."),
        "attention": str(getattr(language.config, "_attn_implementation", None)),
    }


def rates(
    gpu_id: str | None, dtype: str, seconds: float, *, needed: Cost, done: Cost
) -> tuple[dict[str, float | None], dict[str, str]]:
    """MFU, HFU and the share of the bandwidth, and why one is missing.

    Args:
        needed: what the model needs, without repeated work: MFU.
        done: what the device did: HFU; its bytes against the bandwidth.
    """
    names = ("mfu", "hfu", "bandwidth_utilisation")
    gpu: Gpu | None = gpus().get(gpu_id) if gpu_id else None
    if gpu is None:
        return dict.fromkeys(names), dict.fromkeys(names, "the device is not in the table of GPUs")
    values: dict[str, float | None] = {
        "mfu": needed.flops / seconds / gpu.flops,
        "hfu": done.flops / seconds / gpu.flops,
        "bandwidth_utilisation": done.bytes / seconds / gpu.bandwidth,
    }
    if dtype == "float32":
        reason = "the table's peaks are those of bfloat16 and float16"
        return dict.fromkeys(names), dict.fromkeys(names, reason)
    return values, {}


def quantile(values: Sequence[float], share: float) -> float:
    """A quantile by linear interpolation; one value is its own."""
    if len(values) == 1:
        return values[0]
    ordered = statistics.quantiles(values, n=100, method="inclusive")
    return ordered[round(share * 100) - 1]
