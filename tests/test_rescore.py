"""A run folder is scored again by one command, and tells of the last scoring alone."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from libra_bench.cli.program import app
from libra_bench.core.errors import InputError
from libra_bench.generation.factory import SystemSettings
from libra_bench.pipeline import Settings, evaluate, rescore
from libra_bench.report.load import read_run
from libra_bench.runs.folder import RunFolder
from libra_bench.runs.scoring import ScoringSettings


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run of the template on three reports."""
    rows = [
        {
            "question_id": str(n),
            "text": "q",
            "reference": f"The lungs are clear {n}.",
            "ward": n % 2,
        }
        for n in range(3)
    ]
    (tmp_path / "e.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = Settings(
        system=SystemSettings(model="normal-template"),
        scoring=ScoringSettings(metrics=("bleu",), trials=20),
        data=f"jsonl:{tmp_path / 'e.jsonl'}",
    )
    return evaluate(settings, tmp_path / "run").folder.path


def test_a_changed_run_is_scored_again_as_before(run: Path) -> None:
    before = RunFolder.open(run).summary()
    lines = [json.loads(line) for line in (run / "predictions.jsonl").read_text().splitlines()]
    lines[0]["text"] = "The lungs are clear 0."
    (run / "predictions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(InputError, match="was changed after it was scored"):
        read_run(run)
    after = rescore(run).summary
    assert set(after["metrics"]) == set(before["metrics"])
    assert after["metrics"]["bleu4"]["value"] > before["metrics"]["bleu4"]["value"]
    assert after["resampled"]["trials"] == 20
    assert read_run(run).summary.hashes == after["hashes"]
    assert RunFolder.open(run).manifest()["status"] == "finished"


def test_other_metrics_take_the_place_of_the_old_ones(run: Path) -> None:
    answer = CliRunner().invoke(app, ["score", "--run", str(run), "--metrics", "rouge_l", "--json"])
    assert answer.exit_code == 0
    assert set(RunFolder.open(run).summary()["metrics"]) == {"rouge_l"}
    assert RunFolder.open(run).manifest()["arguments"]["scoring"]["metrics"] == ["rouge_l"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--metrics", "nope"], "unknown metric"),
        (["--subgroups", "color"], "no example has a field color; there are .*ward"),
        (["--references", "x.jsonl"], "--run takes no --references"),
        (["--predictions", "x.jsonl"], "either --predictions FILE or --run DIR"),
    ],
)
def test_what_cannot_be_used_changes_nothing(run: Path, options: list[str], message: str) -> None:
    import re

    before = {path.name: path.read_bytes() for path in run.iterdir()}
    answer = CliRunner().invoke(app, ["score", "--run", str(run), *options])
    assert answer.exit_code == 2
    assert re.search(message, " ".join(answer.output.split()))
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


def test_a_run_with_missing_reports_is_not_scored(run: Path) -> None:
    lines = (run / "predictions.jsonl").read_text().splitlines(keepends=True)
    (run / "predictions.jsonl").write_text("".join(lines[:-1]))
    RunFolder.open(run).set_status("cancelled")
    with pytest.raises(InputError, match="no prediction for id '2'"):
        rescore(run)
    assert RunFolder.open(run).manifest()["status"] == "cancelled"


def test_a_failed_scoring_leaves_no_finished_run(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("libra_bench.pipeline.score_run", fail)
    with pytest.raises(OSError, match="No space"):
        rescore(run)
    assert RunFolder.open(run).manifest()["status"] == "failed"
    with pytest.raises(InputError, match=r"its status is 'failed'.*No space left"):
        read_run(run)
