"""What cannot gate is refused whole, with what to do."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_up_runs import cohort, make_run

from libra_bench.core.errors import InputError
from libra_bench.gate import baseline as files
from libra_bench.gate.check import check_run
from libra_bench.gate.reading import read_run
from libra_bench.gate.settings import GateSettings, numbers

QUICK = GateSettings(trials=1000)


@pytest.fixture(scope="module")
def texts() -> tuple[list[str], list[str]]:
    return cohort(16)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, texts: tuple) -> Path:
    return make_run(tmp_path_factory.mktemp("run") / "run", *texts)


@pytest.fixture
def saved(run: Path, tmp_path: Path) -> Path:
    path = tmp_path / "b.json"
    files.write(read_run(run).evidence, path)
    return path


def changed(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))
    return path


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ids": lambda n: f"other-{n}"}, "no report in common"),
        ({"ids": lambda n: f"study-{n + 1}"}, "id 'study-0' only in the baseline"),
        ({"decoding": "beam"}, "decoding greedy,max_new_tokens=64 there, beam here"),
        ({"profile": "coco"}, "profile libra there, coco here"),
    ],
)
def test_other_runs_are_refused(
    tmp_path: Path, saved: Path, texts: tuple, settings: dict, message: str
) -> None:
    metrics = ("rouge_l",) if settings.get("profile") == "coco" else ("bleu", "rouge_l")
    other = make_run(tmp_path / "other", *texts, metrics=metrics, **settings)
    with pytest.raises(InputError, match=message) as told:
        check_run(other, saved, QUICK)
    assert "baseline update" in str(told.value)


def test_other_references_are_refused(tmp_path: Path, saved: Path, texts: tuple) -> None:
    references = ["The lungs are hyperinflated.", *texts[1][1:]]
    other = make_run(tmp_path / "other", texts[0], references)
    with pytest.raises(
        InputError, match=r"(?m)other reference texts .*differ\): 'study-0'$"
    ) as told:
        check_run(other, saved, QUICK)
    # An older file has no marks, and the refusal no ids.
    changed(saved, lambda value: value.pop("reference_marks"))
    with pytest.raises(InputError, match=r"(?m)other reference texts .*differ\)$"):
        check_run(other, saved, QUICK)
    assert "study-1" not in str(told.value)
    every = make_run(tmp_path / "every", texts[0], [f"{text} Stable." for text in texts[1]])
    files.write(read_run(other).evidence, saved)
    with pytest.raises(InputError, match=r"(?m)'study-\d+', .* and \d+ more$"):
        check_run(every, saved, QUICK)


def test_other_weights_are_what_a_gate_is_for(tmp_path: Path, saved: Path, texts: tuple) -> None:
    other = make_run(tmp_path / "other", *texts, weights="w2")
    assert check_run(other, saved, QUICK).verdict == "same"


def metric_version(value: dict[str, Any]) -> None:
    for score in value["metrics"]["bleu"]["scores"].values():
        score["signature"] = score["signature"].replace("version:1", "version:0")


def nan_statistic(value: dict[str, Any]) -> None:
    value["metrics"]["rouge_l"]["columns"]["value"][3] = float("nan")


def set_value(value: float) -> Callable[[dict[str, Any]], None]:
    return lambda file: file["metrics"]["bleu"]["scores"]["bleu1"].update(value=value)


def half_scored(value: dict[str, Any]) -> None:
    value["metrics"]["bleu"]["columns"]["matches1"][3] = None


def edited_statistic(value: dict[str, Any]) -> None:
    value["metrics"]["bleu"]["columns"]["matches1"][3] += 1


def edited_score(value: dict[str, Any]) -> None:
    value["metrics"]["rouge_l"]["scores"]["rouge_l"]["value"] -= 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (edited_statistic, "changed after it was made: \n  bleu1: .* its statistics make"),
        (edited_score, "changed after it was made: rouge_l: "),
        (metric_version, "bleu1: version 0 there, 1 here"),
        (nan_statistic, "id 'study-3' has a statistic that is no number"),
        (set_value(float("inf")), "metrics.bleu.scores.bleu1.value: Input should be a finite"),
        (set_value(float("nan")), "metrics.bleu.scores.bleu1.value: Input should be a finite"),
        (half_scored, "metrics.bleu: id 'study-3' has a statistic"),
        (lambda value: value.update(format=99, program="9.9"), "by libra_bench 9.9.*newer one"),
        (lambda value: value.update(kind="other"), "not a baseline"),
        (lambda value: value["ids"].pop(), "16 values for 15 reports"),
        (lambda value: value["ids"].__setitem__(0, "study-1"), "ids that occur twice"),
        (lambda value: value.pop("cohort_hash"), "cohort_hash: Field required"),
        (lambda value: value.update(metrics={}), "there is nothing to gate|unpaired|no metrics"),
        (lambda value: value["metrics"]["bleu"]["columns"].pop("matches1"), "no statistic"),
    ],
)
def test_damaged_baselines_are_refused(
    run: Path, saved: Path, change: Callable, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        check_run(run, changed(saved, change), QUICK)


@pytest.mark.parametrize("size", [0, 1, 40, 400])
def test_a_truncated_file_is_refused(run: Path, saved: Path, tmp_path: Path, size: int) -> None:
    data = saved.read_bytes()
    for name, content in (("t.json", data), ("t.json.gz", gzip.compress(data))):
        (tmp_path / name).write_bytes(content[:size])
        with pytest.raises(InputError, match=name):
            check_run(run, tmp_path / name, QUICK)


def test_one_report_or_patient_is_refused(tmp_path: Path) -> None:
    one = make_run(tmp_path / "one", ["Lungs clear."], ["Lungs are clear."])
    with pytest.raises(
        InputError, match=r"below 2 patients[^$]*bleu: 1 patients scored on both sides"
    ):
        check_run(one, one, QUICK)
    texts = cohort(6)
    alone = make_run(tmp_path / "alone", *texts, patients=lambda n: "p")
    with pytest.raises(InputError, match="below 2 patients"):
        check_run(alone, alone, QUICK)


def test_equal_reports_are_no_difficulty(tmp_path: Path) -> None:
    texts = (["The lungs are clear."] * 12, ["Lungs are clear."] * 12)
    run = make_run(tmp_path / "run", *texts)
    assert check_run(run, run, QUICK).verdict == "same"
    # All fall by as much: twelve reports of six patients, p = 1/64, times 5 figures, over .8.
    other = make_run(tmp_path / "other", ["The lungs."] * 12, texts[1])
    found = {one.name: one for one in check_run(other, run, GateSettings(trials=5000)).figures}
    assert found["rouge_l"].p_raw == pytest.approx(1 / 64, abs=0.005)
    assert found["rouge_l"].verdict == "undecided"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"margins": {"blue4": 1.0}}, "Did you mean 'bleu4'"),
        ({"margins": {"bleu4": -1.0}}, "margin bleu4=-1: a number of 0 or more"),
        ({"margins": {"bleu4": float("nan")}}, "margin bleu4=nan"),
        ({"metrics": ("cider",)}, "unknown metric 'cider'"),
        ({"thresholds": {"fail": 1.0}}, "Did you mean 'failed'"),
        ({"alpha": 0.0}, "alpha 0: not in"),
        ({"by": ("wiev",)}, "--by wiev: no such column.*view"),
        ({"by": ("words",)}, "--by words: no such column"),
        ({"trials": 20}, "trials 20: nothing could be called worse"),
    ],
)
def test_settings_that_cannot_be_used(run: Path, saved: Path, settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_run(run, saved, GateSettings(**{"trials": 1000, **settings}))


@pytest.mark.parametrize("text", ["bleu4", "bleu4=x", "=1", "bleu4="])
def test_margins_have_one_form(text: str) -> None:
    with pytest.raises(InputError, match="--margin"):
        numbers([text], "--margin")
    assert numbers(["bleu4=0.2", "rouge_l=1"], "--margin") == {"bleu4": 0.2, "rouge_l": 1.0}


def test_a_group_that_is_too_small_does_not_gate(tmp_path: Path, texts: tuple) -> None:
    run = make_run(tmp_path / "run", *texts, fields=lambda n: {"view": "LL" if n < 2 else "PA"})
    outcome = check_run(run, run, GateSettings(trials=1000, by=("view",)))
    assert "view=LL (2)" in outcome.notes[0]
    assert {one.group for one in outcome.figures} == {None, "view=PA"}


def test_a_score_without_a_value_in_a_group_does_not_gate(tmp_path: Path) -> None:
    """Temporal F1 over reports with a prior image: a group without any has no such score."""
    texts = cohort(24)
    run = make_run(
        tmp_path / "run",
        *texts,
        metrics=("temporal_f1",),
        fields=lambda n: {"image": ["a.png", "b.png"] if n % 2 else ["a.png"]},
    )
    outcome = check_run(run, run, GateSettings(trials=1000, by=("has_prior",)))
    assert outcome.verdict == "same"
    assert all(one.difference == 0 for one in outcome.figures)


def test_a_group_with_too_few_scored_reports_does_not_gate(tmp_path: Path) -> None:
    """Five reports of AP, one of them scored: a failed report has no score."""
    texts, references = cohort(24)
    told = [None if n < 4 else text for n, text in enumerate(texts)]
    run = make_run(
        tmp_path / "run",
        told,
        references,
        patients=lambda n: f"p{n}",
        fields=lambda n: {"view": "AP" if n < 5 else "PA"},
    )
    outcome = check_run(run, run, GateSettings(trials=1000, by=("view",)))
    assert outcome.verdict == "same"
    assert "fewer than two patients: bleu1@view=AP, bleu2@view=AP" in outcome.notes[0]
    assert {one.group for one in outcome.figures} == {None, "view=PA"}


def test_an_unfinished_run_is_refused(run: Path, saved: Path, tmp_path: Path) -> None:
    import shutil

    copy = shutil.copytree(run, tmp_path / "copy")
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps({**manifest, "status": "failed"}))
    with pytest.raises(InputError, match="its status is 'failed'"):
        check_run(copy, saved, QUICK)


def test_a_summary_has_no_groups(run: Path) -> None:
    with pytest.raises(InputError, match="--by needs a paired baseline"):
        check_run(run, run / "summary.json", GateSettings(by=("view",)))
