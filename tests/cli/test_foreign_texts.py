"""Somebody else's texts through `score` and `run`, and what is not scored."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from libra_bench.cli.program import app

QUICK = ("--metrics", "rouge_l", "--trials", "20")


def program(*arguments: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments], input=stdin)


def jsonl(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


ROWS = [
    {"id": 1.0, "mine": "The lungs are clear.", "reference": "The lungs are clear.", "p": 7},
    {"id": 2.0, "mine": "Edema.", "reference": "The lungs are clear.", "p": 7},
]


def test_a_file_of_texts_becomes_a_run_folder(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "theirs.jsonl", *ROWS)
    named = ("--columns", "prediction=mine,subject_id=p")
    run = tmp_path / "run"
    answer = program("run", "--predictions", path, *named, *QUICK, "--output", run)
    assert answer.exit_code == 0, answer.output
    assert {file.name for file in run.iterdir()} == {
        *("manifest.json", "examples.jsonl", "predictions.jsonl", "scores.parquet"),
        *("summary.json", "report.html", "report.md"),
    }
    assert [row["subject_id"] for row in rows_of(run / "examples.jsonl")] == ["7", "7"]
    (first, _) = rows_of(run / "predictions.jsonl")
    assert first["model_id"] == "theirs"
    assert first["metadata"]["texts"] == "theirs.jsonl" and len(first["metadata"]["sha256"]) == 64
    summary = json.loads((run / "summary.json").read_text())
    assert summary["metrics"]["rouge_l"]["value"] == pytest.approx(50)
    scored = program("score", "--predictions", path, *named, *QUICK, "--json")
    assert json.loads(scored.stdout)["metrics"]["rouge_l"]["value"] == pytest.approx(50)
    # Again, with what is there: nothing is answered twice, and other texts are refused.
    again = program("run", "--predictions", path, *named, *QUICK, "--output", run, "--resume")
    assert again.exit_code == 0, again.output
    jsonl(path, *ROWS[:1], {**ROWS[1], "mine": "Clear."})
    other = program("run", "--predictions", path, *named, *QUICK, "--output", run, "--resume")
    assert other.exit_code == 2


def test_predictions_alone_tell_whose_they_are(tmp_path: Path) -> None:
    """Scored without its references, a run's file resamples patients as the run did."""
    texts = ("Clear lungs.", "The heart is large.", "No effusion is seen.", "Edema.")
    rows = [
        {"question_id": n, "text": "q", "image": f"p{n // 2}/s{n}/a.jpg", "reference": text}
        for n, text in enumerate(texts)
    ]
    data = ("--data", f"jsonl:{jsonl(tmp_path / 'e.jsonl', *rows)}", "--model", "normal-template")
    run = tmp_path / "run"
    assert program("run", *data, *QUICK, "--output", run).exit_code == 0
    stored = json.loads((run / "summary.json").read_text())["metrics"]["rouge_l"]
    scored = program("score", "--predictions", run / "predictions.jsonl", *QUICK, "--json")
    figure = json.loads(scored.stdout)["metrics"]["rouge_l"]
    assert {name: figure[name] for name in ("value", "low", "high")} == {
        name: stored[name] for name in ("value", "low", "high")
    }
    bare = [{**row, "subject_id": None} for row in rows_of(run / "predictions.jsonl")]
    path = jsonl(tmp_path / "bare.jsonl", *bare)
    other = program("score", "--predictions", path, *QUICK, "--json")
    alone = json.loads(other.stdout)["metrics"]["rouge_l"]
    assert (stored["clusters"], stored["unit"]) == (2, "patients")
    assert (alone["clusters"], alone["unit"]) == (4, "reports")


def test_texts_for_a_corpus(tmp_path: Path) -> None:
    """References are the corpus'; studies without a text fail by name, strangers are told."""
    study = {"key_image_path": "a.png", "section_impression": "x"}
    table = {key: {**study, "section_findings": f"Clear {key}."} for key in ("a_1", "b_1")}
    (tmp_path / "x.json").write_text(json.dumps(table))
    submission = {"a_1": {**table["a_1"], "model_prediction": "Findings: Clear a_1."}}
    submission["z_9"] = submission["a_1"]
    (tmp_path / "p.json").write_text(json.dumps(submission))
    data = ("--data", f"rexrank:{tmp_path / 'x.json'}", "--predictions", tmp_path / "p.json")
    run = tmp_path / "run"
    answer = program("run", *data, *QUICK, "--output", run)
    assert answer.exit_code == 4
    assert "1 of 2 predictions in p.json are for none of the examples" in answer.stderr
    done, failed = rows_of(run / "predictions.jsonl")
    assert (done["status"], done["text"]) == ("ok", "Findings: Clear a_1.")
    assert failed["error"] == "no prediction in p.json"
    summary = json.loads((run / "summary.json").read_text())
    # Plain texts under Libra's profile: the label is no word of the report.
    assert summary["metrics"]["rouge_l"]["value"] == 100
    jsonl(tmp_path / "p.jsonl", {"id": "nobody", "prediction": "x"})
    stranger = program("run", *data[:2], "--predictions", tmp_path / "p.jsonl", *QUICK)
    assert stranger.exit_code == 2
    assert "no prediction for any of the examples; its ids are like 'nobody'" in stranger.stderr


def test_texts_of_studies_answer_each_of_their_images(tmp_path: Path) -> None:
    row = {"text": "q", "reference": "Clear.", "study_id": "s"}
    examples = jsonl(
        tmp_path / "e.jsonl", {"question_id": "i1", **row}, {"question_id": "i2", **row}
    )
    path = jsonl(tmp_path / "p.jsonl", {"study_id": "s", "prediction": "Clear."})
    data = ("--data", f"jsonl:{examples}", "--predictions", path, "--output", tmp_path / "run")
    assert program("run", *data, *QUICK).exit_code == 0
    assert [one["text"] for one in rows_of(tmp_path / "run" / "predictions.jsonl")] == [
        "Clear."
    ] * 2


def test_findings_are_predictions_where_references_are_apart(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "p.jsonl", {"question_id": 1, "findings": "a b", "impression": "c"})
    truth = jsonl(tmp_path / "r.jsonl", {"question_id": 1, "text": "q", "findings": "a b"})
    for number, apart in enumerate((("--references", truth), ("--data", f"jsonl:{truth}"))):
        run = tmp_path / f"run{number}"
        answer = program("run", "--predictions", path, *apart, *QUICK, "--output", run)
        assert answer.exit_code == 0, answer.output
        assert [one["text"] for one in rows_of(run / "predictions.jsonl")] == ["a b"]
    assert program("run", "--predictions", path, *QUICK).exit_code == 2
    named = ("--columns", "prediction=x", "--data", f"jsonl:{truth}")
    answer = program("run", "--predictions", path, *named, *QUICK)
    assert answer.exit_code == 2 and "--columns: no column `x`" in answer.stderr


def test_standard_input_and_a_pair_of_files(tmp_path: Path) -> None:
    text = "id,candidate,reference\n1,a b,a b\n"
    scored = program("score", "--predictions", "-", *QUICK, "--json", stdin=text)
    assert json.loads(scored.stdout)["metrics"]["rouge_l"]["value"] == 100
    (tmp_path / "a.txt").write_text("a b\nc\n")
    (tmp_path / "b.txt").write_text("a b\nd\n")
    pair = ("--predictions", tmp_path / "a.txt", "--references", tmp_path / "b.txt")
    assert "50.00" in program("score", *pair, *QUICK).stdout
    run = program("run", *pair, *QUICK, "--output", tmp_path / "run")
    assert run.exit_code == 0, run.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--columns", "prediction=a"), "only beside --predictions"),
        (("--references", "x"), "only beside --predictions"),
        (("--predictions", "x", "--model", "normal-template"), "exclude each other"),
        (("--predictions", "x", "--data", "synthetic", "--references", "y"), "exclude each other"),
        (("--predictions", "x", "--columns", "predicton=a"), "Did you mean 'prediction'"),
        (("--predictions", "x", "--columns", "prediction"), "NAME=COLUMN was expected"),
        (("--predictions", "absent.jsonl"), "absent.jsonl: cannot be read"),
    ],
)
def test_options_that_do_not_go_together(arguments: tuple[str, ...], message: str) -> None:
    answer = program("run", *arguments)
    assert answer.exit_code == 2
    assert message in answer.stderr


def test_what_was_named_and_is_not_scored(tmp_path: Path) -> None:
    row = {"question_id": 1, "prediction": "a", "reference": "b"}
    path = jsonl(tmp_path / "p.jsonl", row)
    absent = ("--metrics", "rouge_l,chexbert", "--metric-option", "chexbert.checkpoint=/absent")
    for command in (("score",), ("run", "--output", tmp_path / "run")):
        answer = program(*command, "--predictions", path, *absent, "--trials", 5)
        if answer.exit_code == 2:
            # A path that is not there may be refused before any work.
            assert "/absent" in answer.stderr
            continue
        assert answer.exit_code == 4, answer.output
        assert "not scored, though named: chexbert" in answer.stderr
        again = ("--resume",) if command[0] == "run" else ()
        allowed = program(*command, "--predictions", path, *absent, "--allow-unscored", *again)
        assert allowed.exit_code == 0, allowed.output


@pytest.mark.parametrize(
    "row",
    [
        {"prediction": "a", "reference": None},
        {"prediction": None, "reference": "a"},
        {"prediction": "a", "reference": " \n"},
    ],
)
def test_nothing_scored_is_an_error(tmp_path: Path, row: dict[str, Any]) -> None:
    path = jsonl(tmp_path / "p.jsonl", {"question_id": 1, **row})
    answer = program("score", "--predictions", path, *QUICK, "--json")
    assert answer.exit_code == 2 and answer.stdout == ""
    assert "nothing can be scored" in answer.stderr
    run = program("run", "--predictions", path, *QUICK, "--output", tmp_path / "run")
    assert run.exit_code == 2


def test_a_run_ends_as_score_does_on_half_a_character(tmp_path: Path) -> None:
    (tmp_path / "e.jsonl").write_text(
        r'{"question_id":"1","image":[],"text":"q","reference":"clear \ud83d"}' + "\n"
    )
    data = ("--data", f"jsonl:{tmp_path / 'e.jsonl'}", "--model", "normal-template")
    assert program("run", *data, *QUICK, "--output", tmp_path / "run").exit_code == 0
    stored = (tmp_path / "run" / "examples.jsonl").read_bytes().decode("utf-8")
    assert json.loads(stored)["reference"] == "clear \ufffd"


def test_examples_through_a_real_pipe(tmp_path: Path) -> None:
    rows = "".join(
        json.dumps({"question_id": n, "text": "q" * 100, "reference": "Clear."}) + "\n"
        for n in range(100)
    )
    command = [sys.executable, "-m", "libra_bench", "generate", "--model", "normal-template"]
    command += ["--examples", "/dev/stdin", "--image-root", str(tmp_path)]
    command += ["--output", str(tmp_path / "out.jsonl")]
    done = subprocess.run(command, input=rows, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [row["question_id"] for row in rows_of(tmp_path / "out.jsonl")] == [
        str(n) for n in range(100)
    ]


def test_export_says_what_is_left_out(tmp_path: Path) -> None:
    study = {"key_image_path": "a.png", "section_impression": "Normal."}
    table = {f"p{n}_s": {**study, "section_findings": float("nan")} for n in range(12)}
    table["q_s"] = {**study, "section_findings": "Clear."}
    (tmp_path / "x.json").write_text(json.dumps(table))
    data = ("--data", f"rexrank:{tmp_path / 'x.json'}", "--model", "normal-template")
    assert program("run", *data, *QUICK, "--output", tmp_path / "run").exit_code == 0
    output = tmp_path / "p.json"
    answer = program("export", "rexrank", "--run", tmp_path / "run", "--output", output)
    assert answer.exit_code == 0
    assert "wrote 1 studies" in answer.stderr and "12 left out" in answer.stderr
    assert "12 not written: no findings (p0_s, p1_s," in answer.stderr
    assert "and 2 more" in answer.stderr
    assert json.loads(output.read_text())["q_s"]["model_prediction"].startswith("Findings: ")
