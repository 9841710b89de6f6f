"""What a summary counts, by hand."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from libra_bench.core.errors import InputError
from libra_bench.core.records import Example, Prediction
from libra_bench.runs.folder import RunFolder
from libra_bench.runs.scoring import ScoringSettings, evaluate, match, resampling, score_run
from libra_bench.runs.unscored import named_but_unscored

EXAMPLES = [
    Example(question_id="a", text="?", reference="clear lungs", image=["1", "2"], subject_id="p"),
    Example(question_id="b", text="?", reference="clear lungs", image=["3"], subject_id="p"),
    Example(question_id="c", text="?", reference="clear lungs", image=["4", "5"], subject_id="q"),
    Example(question_id="d", text="?", reference=" ", image=["6"], subject_id="r"),
]
PREDICTIONS = [
    Prediction(question_id="a", text="clear lungs", seconds=1.0),
    Prediction(question_id="b", text="", status="failed", error="no memory", seconds=2.0),
    Prediction(question_id="c", text="heart", seconds=None),
    Prediction(question_id="d", text="clear", seconds=3.0),
]
SETTINGS = ScoringSettings(metrics=("rouge_l",), trials=20)


def test_counts_of_a_run(tmp_path: Path) -> None:
    """Three of four were written, in six seconds; two of them have a reference: 100 and 0."""
    folder = RunFolder.create(tmp_path / "run", arguments={}, resolved={})
    folder.write_examples(EXAMPLES, [])
    lines = (json.dumps(one.model_dump(exclude_none=True)) for one in PREDICTIONS)
    folder.predictions_file.write_text("\n".join(lines) + "\n")
    summary = score_run(folder, SETTINGS, facts={"model": "m"})
    counts = {name: summary[name] for name in ("n", "generated", "failed", "with_prior")}
    assert counts == {"n": 4, "generated": 3, "failed": 1, "with_prior": 2}
    assert (summary["seconds"], summary["reports_per_second"]) == (6.0, 0.5)
    rouge = summary["metrics"]["rouge_l"]
    assert (rouge["value"], rouge["n"], rouge["unscored"], rouge["clusters"]) == (50, 2, 2, 2)
    assert summary["resampled"]["count"] == 3 and summary["run"]["model"] == "m"
    assert "1 examples have an empty reference and are not scored: d" in summary["notes"]
    assert json.loads(folder.summary_file.read_text())["generated"] == 3


def test_no_time_is_no_rate(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", arguments={}, resolved={})
    folder.write_examples(EXAMPLES[:1], [])
    folder.predictions_file.write_text('{"question_id": "a", "text": "clear lungs"}\n')
    assert math.isnan(score_run(folder, SETTINGS, facts={})["reports_per_second"])


def test_predictions_are_matched_by_id() -> None:
    assert [one.question_id for one in match(EXAMPLES, PREDICTIONS[::-1])] == list("abcd")
    with pytest.raises(InputError) as told:
        match(EXAMPLES[1:], PREDICTIONS[:3])
    assert "no prediction for id 'd'" in str(told.value)
    assert "no reference for predicted id 'a'" in str(told.value)
    values = evaluate(EXAMPLES[:3], PREDICTIONS[2::-1], SETTINGS).frame["rouge_l"].tolist()
    assert values[0] == 100 and math.isnan(values[1]) and values[2] == 0


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"trials": 0}, "trials 0: at least 1"),
        ({"seed": -1}, "seed -1: must not be negative"),
        ({"level": 0.0}, r"level 0: not in \(0, 1\)"),
        ({"level": 1.0}, r"level 1: not in \(0, 1\)"),
        ({"trials": 1.5}, "trials 1.5: a whole number"),
        ({"seed": True}, "seed True: a whole number"),
    ],
)
def test_settings_out_of_range(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        ScoringSettings(metrics=("rouge_l",), **changes).check()
    ScoringSettings(metrics=("rouge_l",), trials=1, seed=0, level=0.01).check()


def test_resampling_in_words() -> None:
    drawn = {"unit": "patients", "count": 1200, "interval": "percentile bootstrap", "trials": 1000}
    assert resampling(drawn) == "percentile bootstrap over 1,200 patients, 1,000 trials"
    assert resampling({**drawn, "count": 1}) == "none, because all reports are of one patient"


@pytest.mark.parametrize(("reports", "expected"), [(0, ["bleu"]), (1, [])])
def test_a_metric_of_no_report_is_not_scored(reports: int, expected: list[str]) -> None:
    figures = {"bleu1": {"metric": "bleu", "n": reports}}
    assert named_but_unscored({"profile": "libra", "metrics": figures}, ["bleu"]) == expected
