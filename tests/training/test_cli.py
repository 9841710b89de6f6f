"""`train` and `merge` on the command line: what users mistype, and the way through."""

from pathlib import Path

import pytest
from corpus import COMMON, checkpoint
from typer.testing import CliRunner

from libra_bench.cli.program import app
from libra_bench.model.loading import load_model
from libra_bench.training import run as training_run


def invoke(*arguments: str) -> tuple[int, str]:
    answer = CliRunner().invoke(app, list(arguments))
    return answer.exit_code, answer.output


def paths(data: Path, model: Path, output: Path) -> list[str]:
    return [
        *("--model", str(model), "--data", str(data), "--image-root", str(data.parent)),
        *("--output", str(output)),
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("--stage", "aline"), "Did you mean 'align'"),
        (("--stage", "align", "--learning_rte", "1"), "learning_rte"),
        (("--stage", "finetune", "--lora_enable", "false"), "nothing is left to learn"),
    ],
)
def test_mistakes_are_named_before_anything_is_loaded(
    data: Path, tmp_path: Path, given: tuple[str, ...], message: str
) -> None:
    code, text = invoke("train", *given, *paths(data, tmp_path / "none", tmp_path / "o"), *COMMON)
    assert code == 2 and message in text
    assert not (tmp_path / "o").exists()


def test_training_and_merging(data: Path, tmp_path: Path) -> None:
    model, tuned, whole = (checkpoint(tmp_path / "m"), tmp_path / "tuned", tmp_path / "whole")
    arguments = paths(data, model, tuned)
    code, text = invoke(
        *("train", "--stage", "finetune", *arguments, *COMMON, "--max_steps", "1", "--lora_r", "2")
    )
    assert code == 0 and "trained 1 steps" in text, text
    code, text = invoke("train", "--stage", "finetune", *arguments, *COMMON)
    assert code == 2 and "--resume continues it" in text
    merging = ("--model", str(tuned), "--model-base", str(model), "--output", str(whole))
    code, text = invoke("merge", *merging, "--dtype", "float16")
    assert code == 0, text
    assert load_model(whole, device="cpu").model_id == "whole"


@pytest.mark.parametrize(("missing", "stage"), [("accelerate", "align"), ("peft", "finetune")])
def test_without_the_extra(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str, stage: str
) -> None:
    monkeypatch.setattr(training_run, "find_spec", lambda name: None if name == missing else True)
    given = paths(data, tmp_path / "none", tmp_path / "out")
    code, text = invoke("train", "--stage", stage, *given, *COMMON)
    assert code == 2 and f"training needs {missing}" in text
    assert "libra-bench[train]" in text and not (tmp_path / "out").exists()
