"""Tokens per second and model FLOP/s utilisation (MFU) while training."""

from __future__ import annotations

import time
from typing import Any

import torch

from libra_bench.perf.hardware import gpu_of_device
from libra_bench.training.module import TrainedLibra


class Throughput:
    """Counts what goes through the model between two looks.

    A token is a position of the language model, the image's included, padding left out. Arithmetic
    is counted by the parameters: 2 FLOPs per parameter and token forward, 2 more backward where a
    gradient passes through, 2 more where the weights themselves learn (Kaplan et al., 2020). With
    a frozen language model that is 4, not 6. Attention's own products are left out, and what
    gradient checkpointing computes again does not count: this is MFU, not HFU.

    Args:
        module: the model.
        peak: of one device in FLOP/s; looked up by its name if None, and no MFU where unknown.
    """

    def __init__(self, module: TrainedLibra, peak: float | None = None) -> None:
        self._module = module
        self._peak = device_peak() if peak is None else peak
        model = module.model
        self._image_positions = model.vision_tower.positions
        self._language = _flops(model.language_model, passes=True)
        # A frozen connector before a frozen table: no gradient goes further down.
        down = module.connector_learns or module.tower_learns
        self._connector = _flops(model.connector, passes=down)
        self._tower = _flops(model.vision_tower.encoder, passes=module.tower_learns)
        self.reset()

    def reset(self) -> None:
        """Begin to count anew."""
        self._tokens, self._flops = 0, 0.0
        self._started = time.perf_counter()

    def add(self, batch: dict[str, Any]) -> None:
        """Count a batch as `collate` makes it."""
        rows = len(batch["lengths"])
        # One place of each prompt is the image's own.
        tokens = int(batch["lengths"].sum()) + rows * (self._image_positions - 1)
        self._tokens += tokens
        self._flops += tokens * self._language
        self._flops += rows * self._image_positions * self._connector
        self._flops += len(batch["pixels"]) * self._image_positions * self._tower

    def take(self, processes: int) -> dict[str, float]:
        """Tokens per second over all processes, MFU where the device is known; then reset."""
        seconds = time.perf_counter() - self._started
        found = {"tokens_per_second": round(self._tokens * processes / seconds, 1)}
        if self._peak:
            found["mfu"] = round(self._flops / seconds / self._peak, 4)
        self.reset()
        return found


def _flops(part: torch.nn.Module, *, passes: bool) -> float:
    """FLOPs per position of a part: matrices only, so vectors and tables are left out."""
    total = 0
    # By modules: a head that shares its weights with the table multiplies all the same.
    for module in part.modules():
        if isinstance(module, torch.nn.Embedding):
            continue
        for parameter in module.parameters(recurse=False):
            if parameter.dim() < 2:
                continue
            factor = 2 + (2 if passes else 0) + (2 if parameter.requires_grad else 0)
            # In 4 bits a tensor holds two weights a byte; the layer knows its size.
            size = (
                module.in_features * module.out_features
                if isinstance(module, torch.nn.Linear)
                else parameter.numel()
            )
            total += factor * size
    return float(total)


def device_peak() -> float | None:
    """The dense bfloat16 peak of this process's GPU in FLOP/s; None on a CPU or where unknown."""
    if not torch.cuda.is_available():
        return None
    gpu = gpu_of_device(torch.cuda.get_device_name())
    return gpu.flops if gpu else None
