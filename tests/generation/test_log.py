"""The prediction log as a file: what it takes over, what it refuses, what it leaves."""

import json
from pathlib import Path
from typing import Any

import pytest

from libra_bench.core.errors import InputError
from libra_bench.core.records import Example, Prediction
from libra_bench.generation.log import PredictionLog


def made(number: int, text: str = "Clear.", **more: Any) -> Prediction:
    return Prediction.model_validate({"question_id": str(number), "text": text, **more})


def ids(path: Path) -> list[str]:
    return [json.loads(line)["question_id"] for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    ("stored", "now", "told"),
    [
        ({"beams": 3}, {"beams": 10}, "beams: 3 there, 10 now"),
        # Settings that one of the two does not know are differences as well.
        ({"beams": 3}, {"beams": 3, "weights": "a"}, "weights: None there, a now"),
        ({"beams": 3, "weights": "a"}, {"beams": 3}, "weights: a there, None now"),
        ({}, {"beams": 3}, "beams: None there, 3 now"),
    ],
)
def test_predictions_made_otherwise_are_refused(
    tmp_path: Path, stored: dict[str, Any], now: dict[str, Any], told: str
) -> None:
    path = tmp_path / "log.jsonl"
    with PredictionLog(path) as log:
        log.append(made(1, metadata=stored))
    before = path.read_bytes()
    with PredictionLog(path, resume=True) as log:
        log.require(stored)
        with pytest.raises(InputError, match=rf"id '1' .*\({told}\)"):
            log.require(now)
    assert path.read_bytes() == before


def test_a_last_line_without_its_line_break_gets_one(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"question_id": "1", "text": "a"}\n{"question_id": "2", "text": "b"}')
    with PredictionLog(path, resume=True) as log:
        log.append(made(3))
        log.append(made(4))
    assert ids(path) == ["1", "2", "3", "4"]


def test_half_a_line_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"question_id": "1", "text": "a"}\n{"question_id": "2", "te')
    with PredictionLog(path, resume=True) as log:
        assert list(log.predictions) == ["1"]
        log.append(made(3))
    assert ids(path) == ["1", "3"]


def test_a_log_that_is_there_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with PredictionLog(path) as log:
        log.append(made(1))
    with pytest.raises(InputError, match="--resume continues it"):
        PredictionLog(path)
    with PredictionLog(path, resume=True) as log, pytest.raises(InputError):
        PredictionLog(path, resume=True)
    assert ids(path) == ["1"]


def test_failed_reports_are_asked_again_and_the_order_is_that_of_the_examples(
    tmp_path: Path,
) -> None:
    path = tmp_path / "log.jsonl"
    with PredictionLog(path) as log:
        log.append(made(3))
        log.append(made(2, "", status="failed", error="no image"))
        log.append(made(1))
    with PredictionLog(path, resume=True) as log:
        assert log.forget_failed() == 1
        assert log.forget_failed() == 0
        assert ids(path) == ["3", "1"]
        log.append(made(2))
        examples = [Example(question_id=str(number), text="?") for number in (1, 2, 3, 4)]
        assert [one.question_id for one in log.finish(examples)] == ["1", "2", "3"]
    assert ids(path) == ["1", "2", "3"]


def test_lines_of_one_id(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    failed = '{"question_id": "1", "text": "", "status": "failed", "error": "x"}\n'
    path.write_text(failed + '{"question_id": "1", "text": "a"}\n' + failed)
    with PredictionLog(path, resume=True) as log:
        assert {key: one.text for key, one in log.predictions.items()} == {"1": "a"}
        log.finish([Example(question_id="1", text="?")])
    assert ids(path) == ["1"]
    path.write_text('{"question_id": "1", "text": "a"}\n{"question_id": "1", "text": "b"}\n')
    with pytest.raises(InputError, match="line 2: id '1' is answered otherwise on line 1"):
        PredictionLog(path, resume=True)
