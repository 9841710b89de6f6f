"""The driver with small systems: nothing is lost, whatever a study does."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from libra_bench.core.errors import InputError
from libra_bench.core.files import read_records
from libra_bench.core.records import Example, Prediction
from libra_bench.generation import driver
from libra_bench.generation.driver import Driver, Progress
from libra_bench.generation.log import PredictionLog
from libra_bench.generation.system import Emit

EXAMPLES = [Example(question_id=str(number), text=f"question {number}") for number in range(10)]


class Upper:
    """Answers with the question in capitals; may fail, or be killed, at chosen ids."""

    model_id = "upper"
    trained = True

    def __init__(
        self, chunk: int = 4, broken: Sequence[str] = (), killed_at: str | None = None
    ) -> None:
        self.chunk = chunk
        self.broken = broken
        self.killed_at = killed_at
        self.metadata: dict[str, Any] = {"decoding": "capitals"}
        self.asked: list[list[str]] = []

    def describe(self) -> dict[str, Any]:
        return {}

    def check(self, examples: Sequence[Example]) -> None:
        pass

    def generate(self, examples: Sequence[Example], emit: Emit) -> None:
        self.asked.append([one.question_id for one in examples])
        for one in examples:
            if one.question_id == self.killed_at:
                raise KeyboardInterrupt
            if one.question_id in self.broken:
                raise RuntimeError(f"out of memory at {one.question_id}")
            emit(
                Prediction(
                    question_id=one.question_id,
                    text=one.text.upper(),
                    model_id=self.model_id,
                    new_tokens=2,
                    metadata=self.metadata,
                )
            )


def texts(path: Path) -> list[tuple[str, str]]:
    return [(one.question_id, one.text) for one in read_records(path, Prediction)]


def drive(system: Upper, path: Path, resume: bool = False) -> Progress:
    with PredictionLog(path, resume=resume) as log:
        progress = Driver(system, log).run(EXAMPLES)
        log.finish(EXAMPLES)
    return progress


def test_every_example_is_answered_once_and_in_order(tmp_path: Path) -> None:
    seen: list[int] = []
    path = tmp_path / "predictions.jsonl"
    with PredictionLog(path) as log:
        progress = Driver(Upper(), log, lambda now: seen.append(now.done)).run(EXAMPLES)
    assert texts(path) == [(str(n), f"QUESTION {n}") for n in range(10)]
    assert seen == list(range(11))
    assert (progress.done, progress.failed, progress.tokens) == (10, 0, 20)
    seconds = sum(one.seconds or 0 for one in read_records(path, Prediction))
    assert seconds == pytest.approx(progress.seconds)


def test_a_broken_study_is_retried_alone_and_costs_only_itself(tmp_path: Path) -> None:
    system = Upper(chunk=5, broken=["3"])
    progress = drive(system, tmp_path / "p.jsonl")
    assert system.asked == [["0", "1", "2", "3", "4"], ["3"], ["4"], ["5", "6", "7", "8", "9"]]
    assert progress.failed == 1
    failed = [one for one in read_records(tmp_path / "p.jsonl", Prediction) if one.status != "ok"]
    assert [(one.question_id, one.error) for one in failed] == [("3", "out of memory at 3")]


def test_a_killed_run_resumes_and_ends_with_the_same_file(tmp_path: Path) -> None:
    whole, halves = tmp_path / "whole.jsonl", tmp_path / "halves.jsonl"
    drive(Upper(), whole)
    with pytest.raises(KeyboardInterrupt):
        drive(Upper(killed_at="6"), halves)
    # A kill may also leave the last line unfinished.
    with halves.open("a") as stream:
        stream.write('{"question_id": "6", "te')
    again = Upper()
    progress = drive(again, halves, resume=True)
    assert again.asked[0][0] == "6"
    assert (progress.new, progress.done) == (4, 10)
    assert texts(halves) == texts(whole)


def test_resume_tries_failed_reports_again(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    drive(Upper(broken=["0", "7"]), path)
    again = Upper()
    progress = drive(again, path, resume=True)
    assert again.asked == [["0", "7"]]
    assert progress.failed == 0
    assert texts(path) == [(str(n), f"QUESTION {n}") for n in range(10)]


def test_a_log_of_other_settings_or_other_examples_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    drive(Upper(), path)
    with pytest.raises(InputError, match="--resume continues it"):
        PredictionLog(path)
    other = Upper()
    other.metadata = {"decoding": "italics"}
    with pytest.raises(InputError, match="decoding: capitals there, italics now"):
        drive(other, path, resume=True)
    with PredictionLog(path, resume=True) as log, pytest.raises(InputError, match="not among"):
        Driver(Upper(), log).run(EXAMPLES[:5])
    assert len(texts(path)) == 10


def test_a_prediction_says_whose_it_is_and_the_seconds_since_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock stands at 0 at the start, and goes on by 1, 2, 3 ... with each answer."""
    ticks = iter((0.0, 1.0, 3.0, 6.0))
    monkeypatch.setattr(driver, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    examples = [
        Example(question_id=str(number), text="?", subject_id="p7" if number else None)
        for number in range(3)
    ]
    path = tmp_path / "p.jsonl"
    with PredictionLog(path) as log:
        progress = Driver(Upper(), log).run(examples)
    found = read_records(path, Prediction)
    assert [one.seconds for one in found] == [1, 2, 3]
    extra = [one.model_extra or {} for one in found]
    assert [one.get("subject_id") for one in extra] == [None, "p7", "p7"]
    assert (progress.seconds, progress.reports_per_second) == (6, 0.5)
    assert len({one["answerer_hash"] for one in extra}) == 1
