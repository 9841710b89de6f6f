"""The calibration loop: a piece of work that never changes, timed beside every measurement.

A machine that is slower for a minute slows both, so that their ratio tells of the code.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from libra_bench.perf.timing import Stopwatch

ROUNDS = 10
SIZES = {"cpu": 768, "cuda": 4096}
"""Rows of the square matrices: more than the nearest cache holds, and a few milliseconds long."""


def calibration(device: torch.device) -> Callable[[], float]:
    """A function that gives the seconds of the best of some matrix products on the device."""
    watch, size = Stopwatch(device), SIZES[device.type]
    matrix = torch.ones(size, size, device=device)

    def once() -> float:
        start = watch.mark()
        matrix @ matrix
        stop = watch.mark()
        watch.wait()
        return watch.between(start, stop)

    def best() -> float:
        return min(once() for _ in range(ROUNDS))

    best()
    return best
