"""The shapes that the benchmarks share; the package builds them, with random weights."""

from __future__ import annotations

from libra_bench.perf.random_model import build, studies
from libra_bench.perf.shape import named

__all__ = ["SHAPES", "build", "studies"]

SHAPES = {"cpu": named("cpu"), "7b": named("libra-7b")}
"""`cpu` is small enough for two cores, with Libra's own 1,369 image vectors; `7b` is RAD-DINO and
Llama-2-7B."""
