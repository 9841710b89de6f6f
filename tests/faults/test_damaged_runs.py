"""Promise 3: whatever happened to a file of a run folder, no command gives another answer."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from libra_bench.cli.program import app

RUN = ("run", "--model", "normal-template", "--limit", 12, "--metrics", "bleu", "--trials", 20)


def invoke(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(one) for one in arguments])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as patch:
        # The cache of the tests, where the cohort lies for them all.
        patch.setenv("LIBRA_BENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        answer = invoke(*RUN, "--output", folder)
    assert answer.exit_code == 0, answer.output
    return folder


def figures(run: Path) -> Any:
    return json.loads((run / "summary.json").read_text())["metrics"]


@pytest.mark.parametrize("file", ["summary.json", "scores.parquet"])
def test_scores_that_were_changed_are_refused_and_made_again(
    whole: Path, tmp_path: Path, file: str
) -> None:
    """A figure in which one digit is another one looks like any other figure."""
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    data = (run / file).read_bytes()
    if file == "summary.json":
        value = f"{figures(run)['bleu1']['value']:.12}"[:8].encode()
        assert data.count(value)
        changed = data.replace(value, value[:-1] + (b"1" if value[-1:] != b"1" else b"2"))
    else:
        changed = data[:200] + bytes([data[200] ^ 1]) + data[201:]
    assert changed != data and len(changed) == len(data)
    (run / file).write_bytes(changed)
    for given in (
        ("report", "--run", run, "--format", "md"),
        ("compare", whole, run, "--trials", 20),
        ("check", "--run", run, "--baseline", whole),
        ("export", "rexrank", "--run", run, "--output", tmp_path / "export.json"),
        ("baseline", "save", run, "--output", tmp_path / "baseline.json"),
    ):
        answer = invoke(*given)
        assert answer.exit_code == 2, (given, answer.output)
        said = " ".join(answer.output.split())
        assert file in said and "was changed after the run was scored" in said, said
    answer = invoke("score", "--run", run)
    assert answer.exit_code == 0, answer.output
    assert figures(run) == figures(whole)
    assert invoke("report", "--run", run, "--format", "md").exit_code == 0


def test_a_summary_without_the_hashes_of_its_scores_is_refused(whole: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    summary = json.loads((run / "summary.json").read_text())
    manifest = json.loads((run / "manifest.json").read_text())
    for change in ({"hashes": None}, {"hashes": {"cohort": "x"}}, {"hashes": 5}, {"metrics": [1]}):
        (run / "summary.json").write_text(json.dumps({**summary, **change}))
        del manifest["hashes"]["summary.json"]
        (run / "manifest.json").write_text(json.dumps(manifest))
        manifest["hashes"]["summary.json"] = None
        answer = invoke("baseline", "save", run, "--output", tmp_path / "b.json")
        assert answer.exit_code == 2 and "summary.json" in answer.output, answer.output


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "arguments.scoring.trails": lambda one: one["arguments"]["scoring"].update(trails=5),
    "arguments.scoring.profile": lambda one: one["arguments"]["scoring"].update(profile=[5]),
    "arguments.scoring.metrics": lambda one: one["arguments"]["scoring"].update(metrics=5),
    "resolved.system": lambda one: one["resolved"].pop("system"),
    "resolved.cohort_settings": lambda one: one["resolved"].update(cohort_settings=[]),
    "created": lambda one: one.pop("created"),
    "hashes": lambda one: one.update(hashes=[]),
}


@pytest.mark.parametrize("named", list(CHANGES))
def test_a_damaged_manifest_is_told_of(whole: Path, tmp_path: Path, named: str) -> None:
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    manifest = json.loads((run / "manifest.json").read_text())
    CHANGES[named](manifest)
    (run / "manifest.json").write_text(json.dumps(manifest))
    before = {one: one.read_bytes() for one in run.iterdir()}
    answer = invoke("score", "--run", run)
    assert answer.exit_code == 2, answer.output
    said = "".join(answer.output.split())
    assert "manifest.json" in said and named in said, answer.output
    assert before == {one: one.read_bytes() for one in run.iterdir()}, "nothing was changed"


def test_a_list_of_starts_that_is_none_begins_again(whole: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps({**manifest, "starts": 5}))
    answer = invoke(*RUN, "--output", run, "--resume")
    assert answer.exit_code == 0, answer.output
    assert len(json.loads((run / "manifest.json").read_text())["starts"]) == 2
    assert figures(run) == figures(whole)
