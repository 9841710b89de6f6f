"""ReXrank's predictions file and leaderboard row."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from libra_bench.cli.program import app
from libra_bench.core.errors import InputError
from libra_bench.core.files import dump_record
from libra_bench.core.records import Example, Prediction
from libra_bench.export.leaderboard import HEADER, HEADERS, leaderboard_row, write_leaderboard_row
from libra_bench.export.rexrank import export
from libra_bench.runs.folder import RunFolder


def make_run(
    path: Path, examples: list[Example], predictions: list[Prediction], section: str = "findings"
) -> Path:
    resolved = {"cohort_settings": {"section": section}}
    folder = RunFolder.create(path, arguments={}, resolved=resolved)
    folder.write_examples(examples, [])
    folder.predictions_file.write_text("".join(dump_record(one) for one in predictions))
    return path


def example(number: int, **more: Any) -> Example:
    fields = {"question_id": f"q{number}", "study_id": f"s{number}", "text": "?", **more}
    return Example.model_validate(fields)


def answer(number: int, text: str = "Clear lungs.", **more: Any) -> Prediction:
    return Prediction.model_validate({"question_id": f"q{number}", "text": text, **more})


def written(path: Path) -> Any:
    def refuse(constant: str) -> Any:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


def test_own_fields_are_kept_and_the_prediction_added(tmp_path: Path) -> None:
    fields = {
        "key_image_path": "a/0.png",
        "report": "Findings: A & <b>. Impression: B.",
        "section_impression": float("nan"),
        "frontal_lateral": ["Frontal", "Lateral"],
    }
    run = make_run(tmp_path / "run", [example(1, rexrank=fields)], [answer(1, "é <x>")])
    result = export(run, tmp_path / "out.json")
    assert written(tmp_path / "out.json") == {
        "s1": {**fields, "section_impression": None, "model_prediction": "Findings: é <x>"}
    }
    assert (result.studies, result.empty) == (1, ())


def test_other_corpora_get_the_same_fields(tmp_path: Path) -> None:
    one = example(
        1,
        reference="Lungs are clear.",
        impression="No disease.",
        indication="Cough.",
        image=["a.png", "b.png"],
        split="test",
        subject_id="p1",
    )
    run = make_run(tmp_path / "run", [one], [answer(1)])
    export(run, tmp_path / "out.json")
    assert written(tmp_path / "out.json") == {
        "s1": {
            "image_path": ["a.png", "b.png"],
            "key_image_path": "a.png",
            "report": "Findings: Lungs are clear. Impression: No disease.",
            "section_findings": "Lungs are clear.",
            "section_impression": "No disease.",
            "split": "test",
            "subject_id": "p1",
            "context": "Indication: Cough.",
            "model_prediction": "Findings: Clear lungs.",
        }
    }


def test_reference_is_the_section_that_was_asked_for(tmp_path: Path) -> None:
    run = make_run(
        tmp_path / "run", [example(1, reference="No disease.")], [answer(1)], "impression"
    )
    export(run, tmp_path / "out.json")
    study = written(tmp_path / "out.json")["s1"]
    assert study["report"] == "Findings: None. Impression: No disease."
    assert (study["section_findings"], study["section_impression"]) == (None, "No disease.")


def test_context_images_and_section_of_a_study(tmp_path: Path) -> None:
    """Context in ReXrank's order; an image that stands in for its own prior once; without a
    section in the manifest, findings."""
    one = example(
        1, reference="Clear.", comparison="None.", indication="Cough.", image=["a.png", "a.png"]
    )
    folder = RunFolder.create(tmp_path / "run", arguments={}, resolved={})
    folder.write_examples([one], [])
    folder.predictions_file.write_text(dump_record(answer(1)))
    export(folder.path, tmp_path / "out.json")
    study = written(tmp_path / "out.json")["s1"]
    assert study["context"] == "Indication: Cough. Comparison: None."
    assert study["image_path"] == ["a.png"]
    assert (study["section_findings"], study["section_impression"]) == ("Clear.", None)
    assert study["report"] == "Findings: Clear. Impression: None."


def test_missing_predictions_are_refused_then_allowed(tmp_path: Path) -> None:
    run = make_run(
        tmp_path / "run",
        [example(1), example(2), example(3)],
        [answer(1, ""), answer(2, status="failed", error="no image")],
    )
    output = tmp_path / "out.json"
    with pytest.raises(InputError) as caught:
        export(run, output)
    assert "'q2'" in str(caught.value) and "'q3'" in str(caught.value)
    assert "'q1'" not in str(caught.value), "an empty report was delivered"
    assert "--allow-missing" in str(caught.value) and not output.exists()
    assert export(run, output, allow_missing=True).empty == ("q2", "q3")
    # The text of a failed prediction is no report, whatever stands there.
    assert {key: one["model_prediction"] for key, one in written(output).items()} == {
        "s1": "",
        "s2": "",
        "s3": "",
    }


def test_a_study_stands_once(tmp_path: Path) -> None:
    examples = [example(1), example(2, study_id="s1")]
    run = make_run(tmp_path / "run", examples, [answer(1), answer(2)])
    with pytest.raises(InputError, match=r"study 's1' stands 2 times \(ids q1, q2\)"):
        export(run, tmp_path / "out.json", allow_missing=True)


def test_what_was_left_out_must_be_readable(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [example(1)], [answer(1)])
    for content in (b"\xff\xfeid,reason\r\n", b"other,columns\r\n1,2\r\n"):
        (run / "dropped.csv").write_bytes(content)
        with pytest.raises(InputError, match=r"dropped\.csv: cannot be read"):
            export(run, tmp_path / "out.json")


def test_no_file_of_the_run_is_its_export(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [example(1)], [answer(1)])
    before = (run / "predictions.jsonl").read_bytes()
    given = ["export", "rexrank", "--run", str(run), "--force", "--output"]
    found = CliRunner().invoke(app, [*given, str(run / "predictions.jsonl")])
    assert found.exit_code == 2 and "an input of this command" in found.output
    assert (run / "predictions.jsonl").read_bytes() == before


def test_no_run_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a run folder"):
        export(tmp_path, tmp_path / "out.json")


def test_real_studies_come_back_as_they_were(tmp_path: Path, public_data: Path) -> None:
    source = json.loads((public_data / "rexrank" / "ReXRank_IUXray_test.json").read_text())
    studies = dict(list(source.items())[:50])
    examples = [
        Example.model_validate({"question_id": key, "study_id": key, "text": "?", "rexrank": one})
        for key, one in studies.items()
    ]
    answers = [Prediction(question_id=key, text=f"text of {key}") for key in studies]
    run = make_run(tmp_path / "run", examples, answers)
    export(run, tmp_path / "out.json")
    back = written(tmp_path / "out.json")
    assert list(back) == list(studies)
    for key, one in studies.items():
        own = {name: None if value != value else value for name, value in one.items()}
        assert back[key] == {**own, "model_prediction": f"Findings: text of {key}"}


def summary(**run: Any) -> dict[str, Any]:
    figures = {"bleu2": 23.24, "ratescore": 56.06, "radcliq": 0.8, "semb": None}
    return {
        "run": {"profile": "rexrank", "trained": True, **run},
        "metrics": {
            name: {"value": value, "unscored": 0 if value is not None else 3}
            for name, value in figures.items()
        },
    }


ABOUT = {"name": "My, model", "institution": "Lab", "url": "https://example.org", "date": "2026"}


def test_row_is_on_the_leaderboards_scale() -> None:
    row = leaderboard_row(summary(), **ABOUT)
    assert list(row) == list(HEADER)
    # 23.24 % is 0.232, and 1 / 0.8 is 1.25; what was not scored stays empty.
    assert (row["BLEU"], row["RaTEScore"], row["1/RadCliQ-v1"]) == ("0.232", "0.561", "1.250")
    assert row["SembScore"] == row["GREEN"] == row["BertScore"] == row["Rank"] == ""


def test_header_is_the_leaderboards(public_data: Path) -> None:
    for name in ("iu_xray", "mimiccxr"):
        path = public_data / "rexrank" / f"findings_result_{name}.csv"
        with path.open(encoding="utf-8-sig") as stream:
            assert tuple(next(csv.reader(stream))) in HEADERS


@pytest.mark.parametrize(
    ("run", "reason"),
    [({"profile": "libra"}, "only figures of 'rexrank'"), ({"trained": False}, "untrained")],
)
def test_figures_that_may_not_enter(run: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        leaderboard_row(summary(**run), **ABOUT)


def test_a_figure_that_leaves_reports_out_may_not_enter() -> None:
    partial = summary()
    partial["metrics"]["bleu2"]["unscored"] = 2
    with pytest.raises(InputError, match="BLEU: 2 reports are not scored"):
        leaderboard_row(partial, **ABOUT)


@pytest.mark.parametrize("mean", [0.0, -0.5])
def test_radcliq_without_an_inverse(mean: float) -> None:
    singular = summary()
    singular["metrics"]["radcliq"]["value"] = mean
    with pytest.raises(InputError, match="no inverse"):
        leaderboard_row(singular, **ABOUT)


def test_row_as_file(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [example(1)], [answer(1)])
    (run / "summary.json").write_text(json.dumps(summary()))
    write_leaderboard_row(run, tmp_path / "row.csv", **ABOUT)
    with (tmp_path / "row.csv").open() as stream:
        (row,) = csv.DictReader(stream)
    assert row["Model Name"] == "My, model" and row["BLEU"] == "0.232"


def test_what_is_left_out_is_told_with_its_reason(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [example(1)], [answer(1)])
    folder = RunFolder.open(run)
    folder.write_dropped([("s2", "no findings"), ("s,3", "no image"), ("s4", "no findings")])
    result = export(run, tmp_path / "out.json")
    assert result.studies == 1
    assert result.reasons() == [("no findings", ["s2", "s4"]), ("no image", ["s,3"])]


@pytest.mark.parametrize(
    ("section", "text", "submitted"),
    [
        ("findings", "Clear.", "Findings: Clear."),
        ("findings", "Findings: Clear.", "Findings: Clear."),
        ("report", "Clear. Normal.", "Findings: Clear. Normal."),
        ("report", "Findings: a Impression: b", "Findings: a Impression: b"),
        ("impression", "Normal.", "Normal."),
        ("findings", "", ""),
    ],
)
def test_predictions_begin_as_in_the_official_examples(
    tmp_path: Path, section: str, text: str, submitted: str
) -> None:
    run = make_run(tmp_path / "run", [example(1)], [answer(1, text)], section)
    export(run, tmp_path / "out.json")
    assert written(tmp_path / "out.json")["s1"]["model_prediction"] == submitted


def test_both_official_headers_are_known_and_the_newest_is_written() -> None:
    assert (HEADER, (*HEADER, "1/FineRadScore")) == HEADERS
    assert HEADER[-1] == "GREEN"
