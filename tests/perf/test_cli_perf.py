"""`libra-bench perf` as a user runs it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from libra_bench.cli.program import app


def perf(*arguments: object):
    return CliRunner().invoke(app, ["perf", *map(str, arguments)])


def test_the_guide_as_json() -> None:
    answer = perf("plan", "--scenario", "guide", "--json")
    assert answer.exit_code == 0
    plan = json.loads(answer.stdout)
    assert [one["hours"] for one in plan["scenarios"]] == [598, pytest.approx(100.84, abs=0.01)]
    assert plan["break_even_speedup"] == pytest.approx(5.96)


def test_a_plan_for_people_has_its_reasons_on_stderr() -> None:
    answer = perf("plan", "--stage", "both", "--samples", 1000, "--gpus", 2)
    assert answer.exit_code == 0
    assert "2 × H100" in answer.stdout and "assumed:" in answer.stderr
    details = perf("plan", "--json", "--details")
    assert {"details", "recommendation", "assumes"} <= set(json.loads(details.stdout))


def test_the_table_marks_every_cell() -> None:
    rows = json.loads(perf("table", "--json").stdout)
    assert len(rows["evaluation"]) == 12 and len(rows["training"]) == 6
    for row in [*rows["evaluation"], *rows["training"]]:
        for cell in row["cells"].values():
            assert cell["how"] and cell["basis"] in ("measured", "published", "projected")
    assert "projected" in perf("table").stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("plan", "--scenario", "guide"),
        ("plan", "--stage", "both", "--gpus", "2"),
        ("plan", "--tokens", "100000", "--gpu", "h100-pcie,h200"),
        ("table",),
        ("table", "--batch-size", "64"),
    ],
)
def test_tables_fit_a_terminal(arguments: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = perf(*arguments).stdout.splitlines()
    assert lines and all(len(line.rstrip()) <= 80 for line in lines)
    # A row for each GPU and no word cut in two: headers may take two lines.
    rows = [line for line in lines if any(name in line for name in ("A6000", "H100", "H200"))]
    assert rows and all("≈" in row or "–" in row or " p" in row for row in rows)


def test_a_model_of_a_packaged_shape_needs_no_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    from libra_bench.perf import subjects

    asked = []
    monkeypatch.setattr(subjects, "from_shape", lambda name, **_: asked.append(name))
    subjects.from_model("libra-7b", random_weights=True)
    assert asked == ["libra-7b"]


def test_a_shape_that_memory_cannot_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from libra_bench.perf import subjects

    monkeypatch.setattr(subjects.os, "sysconf", lambda name: 1000)
    answer = perf("measure", "--shape", "libra-7b", "--device", "cpu")
    assert answer.exit_code == 2 and "takes 28 GB" in answer.stderr, answer.stderr


def test_measuring_writes_a_record(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    quick = ("--repetitions", 1, "--seconds", 0, "--warm-up", 0)
    answer = perf(
        "measure", "--shape", "micro", "--studies", 1, "--tokens", 2, "--output", path, *quick
    )
    assert answer.exit_code == 0, answer.stderr
    record = json.loads(path.read_text())
    assert record["kind"] == "generation" and record["settings"]["beams"] == 10
    assert record["versions"]["torch"] and len(record["seconds"]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("plan", "--gpu", "h100-sx"), "Did you mean 'h100-sxm'"),
        (("plan", "--gpu", "h100"), "Did you mean 'h100-sxm' or 'h100-pcie'"),
        (("plan", "--gpu", ""), "no GPU was named"),
        (("table", "--gpu", ","), "no GPU was named"),
        (("plan", "--scenario", "guide", "--gpu", "h200"), "--gpu would not count"),
        (("plan", "--stage", "align", "--samples", 9, "--gpus", 17), "17 GPUs for a batch of 16"),
        (("plan", "--engine", "fats"), "Did you mean 'fast'"),
        (("plan", "--prices", "absent.json"), "absent.json"),
        (("table", "--records", "absent"), "absent"),
        (("measure", "--model", "libra-tiny", "--shape", "micro"), "not both"),
        (("measure", "--model", "normal-template"), "no weights to load"),
        (("measure", "--model", "libra-7b"), "not on this machine"),
        (("measure", "--output", "."), "a file was expected"),
        (("report", "--output", __file__), "a folder was expected"),
        (("measure", "--shape", "micro", "--device", "cuda"), "no GPU"),
        (("measure", "--shape", "micor"), "Did you mean 'micro'"),
    ],
)
def test_bad_input_is_answered_with_a_sentence(arguments: tuple, message: str) -> None:
    import torch

    if "cuda" in arguments and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    answer = perf(*arguments)
    assert answer.exit_code == 2 and message in answer.stderr, answer.stderr
