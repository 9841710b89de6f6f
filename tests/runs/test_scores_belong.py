"""Scores name what they are of: patients, references and predictions."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from libra_bench.core.errors import InputError
from libra_bench.core.identity import set_hash, text_hash
from libra_bench.core.records import Example, Prediction
from libra_bench.export.rexrank import export
from libra_bench.gate.check import check_run
from libra_bench.pipeline import rescore
from libra_bench.report.load import read_run
from libra_bench.runs.comparing import compare_runs
from libra_bench.runs.folder import RunFolder
from libra_bench.runs.scoring import ScoringSettings, evaluate, score_run

SETTINGS = ScoringSettings(metrics=("rouge_l",), trials=50)
FACTS = {"model": "m", "model_id": "m", "trained": True, "data": "d", "cohort": "c"} | {
    "protocol": {"name": "none", "signature": "none"}
}


def example(number: int, **fields: Any) -> Example:
    known = {"question_id": str(number), "text": "q", "reference": f"Clear lungs {number}."}
    return Example.model_validate(known | fields)


def prediction(number: int, text: str = "Clear lungs.") -> Prediction:
    return Prediction(question_id=str(number), text=text)


def run(path: Path, examples: list[Example], predictions: list[Prediction]) -> RunFolder:
    folder = RunFolder.create(path, arguments={}, resolved={})
    folder.write_examples(examples, [])
    lines = [json.dumps(one.model_dump(exclude_none=True)) + "\n" for one in predictions]
    folder.predictions_file.write_text("".join(lines), encoding="utf-8")
    score_run(folder, SETTINGS, facts=FACTS)
    folder.set_status("finished")
    return folder


def scored(examples: list[Example]) -> dict[str, Any]:
    predictions = [prediction(int(one.question_id)) for one in examples]
    return evaluate(examples, predictions, SETTINGS).summary()


def test_patients_are_resampled_and_said() -> None:
    found = scored([example(n, subject_id=str(n // 2)) for n in range(8)])
    assert found["resampled"] == {
        "unit": "patients",
        "count": 4,
        "unknown_patients": 0,
        "interval": "studentised bootstrap",
        "trials": 50,
    }
    figure = found["metrics"]["rouge_l"]
    assert (figure["clusters"], figure["unit"]) == (4, "patients")
    assert "|resampled:4 patients|" in figure["signature"]
    assert found["notes"] == []


def test_unknown_patients_are_reports_and_warned_of() -> None:
    found = scored([example(n, subject_id="p" if n < 3 else None) for n in range(8)])
    assert (found["resampled"]["unit"], found["resampled"]["count"]) == ("patients and reports", 6)
    assert "the patient of 5 of 8 reports is unknown" in found["notes"][0]
    assert (
        "|resampled:8 reports|"
        in scored([example(n) for n in range(8)])["metrics"]["rouge_l"]["signature"]
    )


def test_one_patient_has_no_interval_and_is_told_why() -> None:
    found = scored([example(n, subject_id="p") for n in range(4)])
    assert found["metrics"]["rouge_l"]["low"] != found["metrics"]["rouge_l"]["low"]  # NaN
    assert found["notes"] == ["all reports are of one patient: no interval can be given"]


def test_hashes_do_not_depend_on_order_and_do_on_every_text() -> None:
    pairs = [("a", text_hash("x")), ("b", text_hash("y"))]
    assert set_hash(pairs) == set_hash(reversed(pairs))
    others = [[("a", text_hash("y")), ("b", text_hash("x"))], pairs[:1], [*pairs, pairs[0]]]
    assert len({set_hash(pairs), *map(set_hash, others)}) == 4
    assert text_hash("ab", "c") != text_hash("a", "bc")
    assert text_hash("\ud83d") != text_hash("")  # half a character has bytes of its own


def test_another_test_set_of_the_same_size_is_refused(tmp_path: Path) -> None:
    answers = [prediction(n) for n in range(6)]
    run(tmp_path / "a", [example(n) for n in range(6)], answers)
    other = [example(n, reference="Something else.") if n == 3 else example(n) for n in range(6)]
    run(tmp_path / "b", other, answers)
    with pytest.raises(InputError, match="'3' has another reference text in b"):
        compare_runs([tmp_path / "a", tmp_path / "b"], trials=10)
    with pytest.raises(InputError, match="hashes of the cohorts differ"):
        check_run(tmp_path / "b", tmp_path / "a" / "summary.json")
    assert check_run(tmp_path / "a", tmp_path / "a" / "summary.json").figures


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("predictions.jsonl", "the prediction of id '2' was changed after it was scored"),
        ("examples.jsonl", "the reference of id '2' was changed after it was scored"),
    ],
)
def test_texts_that_were_changed_after_scoring_are_refused(
    tmp_path: Path, file: str, message: str
) -> None:
    folder = run(tmp_path / "a", [example(n) for n in range(4)], [prediction(n) for n in range(4)])
    lines = (tmp_path / "a" / file).read_text().splitlines()
    changed = json.loads(lines[2])
    changed["text" if file.startswith("pred") else "reference"] = "No pneumothorax."
    lines[2] = json.dumps(changed)
    (tmp_path / "a" / file).write_text("\n".join(lines) + "\n")
    for use in (
        lambda: read_run(folder.path),
        lambda: compare_runs([folder.path, folder.path], trials=10),
        lambda: compare_runs([folder.scores_file, folder.scores_file], trials=10),
        lambda: export(folder.path, tmp_path / "export.json"),
        lambda: check_run(folder.path, folder.summary_file),
    ):
        with pytest.raises(InputError, match=message) as caught:
            use()
        assert "libra-bench score --run" in str(caught.value)


def test_a_pipe_in_the_place_of_a_run_s_file_is_not_waited_for(tmp_path: Path) -> None:
    folder = run(tmp_path / "a", [example(n) for n in range(4)], [prediction(n) for n in range(4)])
    for file in (folder.examples_file, folder.predictions_file):
        kept = file.read_bytes()
        file.unlink()
        os.mkfifo(file)
        with pytest.raises(InputError, match="a file was expected, and this is a pipe"):
            check_run(folder.path, folder.summary_file)
        file.unlink()
        file.write_bytes(kept)


def test_seconds_and_order_are_not_what_was_scored(tmp_path: Path) -> None:
    folder = run(tmp_path / "a", [example(n) for n in range(4)], [prediction(n) for n in range(4)])
    lines = folder.predictions_file.read_text().splitlines()
    lines[0] = json.dumps(json.loads(lines[0]) | {"seconds": 9.0})
    folder.predictions_file.write_text("\n".join(reversed(lines)) + "\n")
    assert read_run(folder.path).summary.n == 4


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_a_run_that_ended_without_its_scores_is_refused(tmp_path: Path, status: Any) -> None:
    folder = run(tmp_path / "a", [example(n) for n in range(4)], [prediction(n) for n in range(4)])
    folder.set_status(status, "the disk was full")
    for use in (
        lambda: read_run(folder.path),
        lambda: compare_runs([folder.path, folder.path], trials=10),
        lambda: compare_runs([folder.scores_file, folder.scores_file], trials=10),
        lambda: export(folder.path, tmp_path / "export.json"),
        lambda: check_run(folder.path, folder.summary_file),
    ):
        with pytest.raises(InputError, match=f"its status is '{status}'.*the disk was full"):
            use()


def test_scores_of_an_older_start_beside_a_new_summary_are_refused(tmp_path: Path) -> None:
    examples = [example(n) for n in range(4)]
    folder = run(tmp_path / "a", examples, [prediction(n) for n in range(4)])
    old = folder.scores_file.read_bytes()
    lines = [json.dumps(prediction(n, "New text.").model_dump(exclude_none=True)) for n in range(4)]
    folder.predictions_file.write_text("\n".join(lines) + "\n")
    score_run(folder, SETTINGS, facts=FACTS)
    folder.scores_file.write_bytes(old)
    with pytest.raises(InputError, match="are of different scorings"):
        read_run(folder.path)


def test_subgroups_that_no_example_has_are_named_with_those_there_are() -> None:
    with pytest.raises(InputError, match=r"no example has a field color; there are .*has_prior"):
        evaluate(
            [example(1)],
            [prediction(1)],
            ScoringSettings(metrics=("rouge_l",), subgroups=("color",)),
        )


@pytest.mark.parametrize("name", ["rouge_l", "profile", "prediction_hash", "a::b"])
def test_a_field_called_as_a_column_of_the_scores_splits_nothing(name: str) -> None:
    settings = ScoringSettings(metrics=("rouge_l",), subgroups=(name,))
    with pytest.raises(InputError, match=f"{name}: a column of the scores is called so"):
        evaluate([example(1, **{name: "x"})], [prediction(1)], settings)


def test_export_refuses_what_the_scores_are_not_of(tmp_path: Path) -> None:
    folder = run(tmp_path / "run", [example(1)], [prediction(1)])
    output = tmp_path / "submission.json"
    export(folder.path, output)
    assert json.loads(output.read_text())["1"]["model_prediction"] == "Findings: Clear lungs."
    text = folder.predictions_file.read_text()
    folder.predictions_file.write_text(text.replace("Clear", "Hazy"))
    with pytest.raises(InputError, match="prediction of id '1' was changed after it was scored"):
        export(folder.path, output)
    folder.predictions_file.write_text(text)
    folder.set_status("failed", "no space")
    with pytest.raises(InputError, match="its status is 'failed'"):
        export(folder.path, output)


def test_metrics_are_compared_by_any_of_their_names(tmp_path: Path) -> None:
    folders = [
        run(tmp_path / name, [example(1), example(2)], [prediction(1), prediction(2)])
        for name in ("a", "b")
    ]
    places = [folder.path for folder in folders]
    for names in (["ROUGE-L"], ["all"], ["rouge_l", "ROUGE_L"], None):
        (found,) = compare_runs(places, metrics=names, trials=10)
        assert found.name == "rouge_l"
    with pytest.raises(InputError, match="not scored in every run: meteor"):
        compare_runs(places, metrics=["METEOR"])


@pytest.mark.parametrize("part", ["arguments", "resolved", "hashes"])
def test_a_manifest_without_its_parts_is_one_message(tmp_path: Path, part: str) -> None:
    folder = run(tmp_path / "run", [example(1)], [prediction(1)])
    manifest = {name: value for name, value in folder.manifest().items() if name != part}
    folder.manifest_file.write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=f"manifest.json: no object {part} in it"):
        rescore(folder.path)
