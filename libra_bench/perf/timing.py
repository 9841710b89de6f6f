"""Stopwatches: device events on a GPU, the monotonic clock on a CPU, and clocks that jump."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from libra_bench.core.errors import RunError

TOLERANCE = 0.05
"""Share by which two clocks may differ over one repetition."""
SLACK = 0.05
"""Seconds that they may differ in any case: the wall clock is slewed now and then."""


class Stopwatch:
    """Starts and stops on one device, without waiting for it in between."""

    def __init__(self, device: torch.device) -> None:
        self.cuda = device.type == "cuda"

    def mark(self) -> Any:
        """This moment: an event in the device's stream, or the monotonic clock."""
        if not self.cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def wait(self) -> None:
        """Let the device finish what it was given."""
        if self.cuda:
            torch.cuda.synchronize()

    def between(self, start: Any, stop: Any) -> float:
        """Seconds from one mark to another; the device has to have finished."""
        return start.elapsed_time(stop) / 1000 if self.cuda else stop - start


@dataclass
class Repetitions:
    """Raw timings of one piece of work.

    Attributes:
        seconds: of each repetition that counts.
        dropped: repetitions during which a clock jumped.
        calibration: seconds of the calibration loop beside each repetition that counts.
    """

    seconds: list[float] = field(default_factory=list)
    dropped: int = 0
    calibration: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Median seconds."""
        return statistics.median(self.seconds)


def repeat(
    work: Callable[[], object],
    device: torch.device,
    *,
    repetitions: int,
    min_seconds: float,
    warm_up: int = 1,
    on_done: Callable[[int], None] = lambda number: None,
    calibrate: Callable[[], float] | None = None,
    clock: Callable[[], float] = time.perf_counter,
    wall: Callable[[], float] = time.time,
) -> Repetitions:
    """Do `work` until there are enough repetitions and enough seconds.

    A repetition counts only where the monotonic clock, the wall clock and, on a GPU, the device's
    events agree: a suspended machine or a clock that was set would give a wrong time.

    Args:
        warm_up: runs that are not timed; kernels are chosen and memory is fetched in them.
        on_done: called with the number of repetitions that count.
        calibrate: times the calibration loop; asked right before and after each repetition, and
            the faster of the two is kept.

    Raises:
        RunError: more repetitions had to be dropped than were asked for.
    """
    watch = Stopwatch(device)
    for _ in range(warm_up):
        work()
    watch.wait()
    found, spent = Repetitions(), 0.0
    while len(found.seconds) < repetitions or spent < min_seconds:
        before = calibrate() if calibrate else 0.0
        began, began_wall, start = clock(), wall(), watch.mark()
        work()
        stop = watch.mark()
        watch.wait()
        elapsed, elapsed_wall = clock() - began, wall() - began_wall
        seconds = watch.between(start, stop) if watch.cuda else elapsed
        if _agree(elapsed, elapsed_wall) and (not watch.cuda or _agree(elapsed, seconds)):
            found.seconds.append(seconds)
            spent += seconds
            if calibrate:
                found.calibration.append(min(before, calibrate()))
            on_done(len(found.seconds))
        else:
            found.dropped += 1
        if found.dropped > repetitions:
            raise RunError(
                f"clocks disagree in {found.dropped} repetitions (the last: {elapsed:.3f} s by the "
                f"monotonic clock, {elapsed_wall:.3f} s by the wall clock); nothing was measured. "
                "Is the machine suspended, or its time being set?"
            )
    return found


def _agree(first: float, second: float) -> bool:
    return (
        first > 0 and second > 0 and abs(first - second) <= SLACK + TOLERANCE * max(first, second)
    )


@dataclass
class Spans:
    """Times spent in named parts while something else runs."""

    watch: Stopwatch
    marks: list[tuple[str, Any, Any]] = field(default_factory=list)

    @contextmanager
    def of(self, modules: dict[str, Any], name: Callable[[str, Any], str]) -> Iterator[Spans]:
        """Time every call of `modules`.

        Args:
            modules: by name; calls of one must not nest in calls of another.
            name: from a module's name and its keyword arguments to the part's name.
        """
        started: list[tuple[str, Any]] = []
        handles = []
        for label, module in modules.items():

            def before(_: Any, args: Any, kwargs: Any, label: str = label) -> None:
                started.append((name(label, kwargs), self.watch.mark()))

            def after(_: Any, args: Any, kwargs: Any, output: Any) -> None:
                part, start = started.pop()
                self.marks.append((part, start, self.watch.mark()))

            handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
            handles.append(module.register_forward_hook(after, with_kwargs=True))
        try:
            yield self
        finally:
            for handle in handles:
                handle.remove()

    @contextmanager
    def during(self, part: str) -> Iterator[None]:
        """Time what is not a module's call: a step that is replayed as a CUDA graph."""
        start = self.watch.mark()
        yield
        self.marks.append((part, start, self.watch.mark()))

    def seconds(self) -> dict[str, list[float]]:
        """Seconds of every call, by part; forgets them."""
        self.watch.wait()
        found: dict[str, list[float]] = {}
        for part, start, stop in self.marks:
            found.setdefault(part, []).append(self.watch.between(start, stop))
        self.marks.clear()
        return found
