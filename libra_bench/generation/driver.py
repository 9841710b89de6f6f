"""The driver: takes a system through a cohort, and loses nothing on the way."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from libra_bench.core.errors import InputError
from libra_bench.core.identity import answerer_hash
from libra_bench.core.records import Example, Prediction
from libra_bench.generation.asking import keep_what_fits, marks
from libra_bench.generation.log import PredictionLog
from libra_bench.generation.system import System, answer


@dataclass
class Progress:
    """How far a run is."""

    total: int
    done: int = 0
    """Predictions in the log, those of an earlier start included."""
    failed: int = 0
    seconds: float = 0.0
    """Time spent generating since this start."""
    new: int = 0
    """Predictions made since this start."""
    tokens: int = 0

    @property
    def reports_per_second(self) -> float:
        """Reports per second since this start; NaN before the first."""
        return self.new / self.seconds if self.seconds and self.new else float("nan")


@dataclass
class Driver:
    """Generates what the log does not hold yet.

    Args:
        system: who answers.
        log: where answers go, and which are there already.
        on_progress: called after each report.
    """

    system: System
    log: PredictionLog
    on_progress: Callable[[Progress], None] = field(default=lambda progress: None)

    def run(self, examples: Sequence[Example]) -> Progress:
        """Answer all examples that have no prediction yet, in their order.

        Raises:
            InputError: the examples cannot be used at all, or the log was made in another way.
            OutputError: the log cannot be written.
        """
        known = {example.question_id for example in examples}
        strangers = [key for key in self.log.predictions if key not in known]
        if strangers:
            raise InputError(
                f"{self.log.path}: holds ids that are not among the examples: "
                f"{', '.join(strangers[:5])}{' ...' if len(strangers) > 5 else ''}"
            )
        self.log.require(self.system.metadata)
        self.system.check(examples)
        keep_what_fits(self.log, self.system, examples)
        waiting = [one for one in examples if one.question_id not in self.log.predictions]
        progress = Progress(total=len(examples), done=len(examples) - len(waiting))
        self.on_progress(progress)
        answerer = answerer_hash(self.system.metadata)
        asked: dict[str, dict[str, str]] = {}
        started = last = time.perf_counter()

        # So that a file of predictions alone still tells whose reports they are.
        patients = {one.question_id: one.subject_id for one in examples if one.subject_id}

        def emit(prediction: Prediction) -> None:
            nonlocal last
            now = time.perf_counter()
            # Where several reports ran together each is charged the time since the one before,
            # so that the seconds of a run add up to its wall clock.
            known: dict[str, Any] = {
                "answerer_hash": answerer,
                **asked.get(prediction.question_id, {}),
                "seconds": now - last,
            }
            if prediction.question_id in patients:
                known["subject_id"] = patients[prediction.question_id]
            self.log.append(prediction.model_copy(update=known))
            last = now
            progress.done += 1
            progress.new += 1
            progress.failed += prediction.status == "failed"
            progress.tokens += prediction.new_tokens or 0
            progress.seconds = now - started
            self.on_progress(progress)

        for start in range(0, len(waiting), self.system.chunk):
            chunk = waiting[start : start + self.system.chunk]
            # Before the system reads the images, which are then in memory already.
            asked = {one.question_id: marks(self.system, one) for one in chunk}
            answer(self.system, chunk, emit, self.log.predictions)
        return progress
