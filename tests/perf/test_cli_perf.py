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
        (("plan", "--stage", "align"), "--samples"),
        (("plan", "--stage", "align", "--samples", 9, "--gpus", 17), "17 GPUs for a batch of 16"),
        (("plan", "--engine", "fats"), "Did you mean 'fast'"),
        (("plan", "--prices", "absent.json"), "absent.json"),
        (("table", "--records", "absent"), "absent"),
        (("measure",), "one of --model and --shape"),
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
