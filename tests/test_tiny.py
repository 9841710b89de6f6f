"""The packaged model: what it is made of, and that it looks at the prior image."""

import json
from pathlib import Path

import pytest

from libra_bench.ablation import ACCURACY, NONE, TRUE, WRONG, ablate
from libra_bench.data.corpora import load
from libra_bench.generation.factory import SystemSettings
from libra_bench.model import tiny, zoo
from libra_bench.model.loading import load_model
from libra_bench.training import recipe

TINY = Path(zoo.__file__).parent / "libra_tiny"


def test_the_packaged_model_says_how_it_was_made() -> None:
    loaded = load_model("libra-tiny")
    raw = json.loads((TINY / "config.json").read_text())
    assert loaded.trained
    assert raw["libra_bench"]["seed"] == recipe.SEED
    made = {name: value for name, value in raw.items() if name != "libra_bench"}
    assert made == {name: value for name, value in tiny.CONFIG.items() if name != "libra_bench"}
    assert (loaded.model.vision_tower.layers, loaded.config.projector_type) == (12, "TAC")
    assert sum(file.stat().st_size for file in TINY.rglob("*") if file.is_file()) < 4e6


def test_it_sees_change_in_patients_that_it_has_not_seen(tmp_path: Path) -> None:
    """The built-in cohort's patients are drawn from another seed than the training patients."""
    cohort = load("synthetic", split="test")
    cohort.examples = cohort.examples[:48]
    rows = ablate(
        SystemSettings("libra-tiny"), cohort, tmp_path, baselines=["normal-template"], trials=1000
    )
    found = {(row.condition, row.figure): row for row in rows}
    for other in (NONE, WRONG):
        lost = found[other, "temporal_f1"]
        assert lost.difference > 15 and lost.difference_low > 0
    floor = found["normal-template", "bleu4"]
    assert floor.difference_low > 10
    assert found["normal-template", ACCURACY].difference_low > 0
    assert found[TRUE, ACCURACY].value > 85


def test_the_recipe_goes_on_where_it_was_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In small: each step is broken off once, and then done once and for all."""
    steps = ("--use_cpu", "true", "--max_steps", "1", "--dataloader_num_workers", "0")
    monkeypatch.setattr(recipe, "PATIENTS", 48)
    monkeypatch.setattr(recipe, "TOWER_EPOCHS", 1)
    monkeypatch.setattr(recipe, "ALIGN", (*recipe.ALIGN, *steps))
    monkeypatch.setattr(recipe, "FINETUNE", (*recipe.FINETUNE, *steps))
    for name in ("teach_tower", "merge"):
        with monkeypatch.context() as patch:
            patch.setattr(recipe, name, broken_off)
            with pytest.raises(KeyboardInterrupt):
                recipe.make(tmp_path, lambda line: None)
    made = recipe.make(tmp_path, lambda line: None)
    assert load_model(made, device="cpu").trained
    before = {file: file.stat().st_mtime_ns for file in made.rglob("*") if file.is_file()}
    assert recipe.make(tmp_path, lambda line: None) == made
    assert before == {file: file.stat().st_mtime_ns for file in before}


def broken_off(*args: object, **kwargs: object) -> None:
    raise KeyboardInterrupt
