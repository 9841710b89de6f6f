"""Every named model: a small checkpoint of its form, loaded by name, asked and scored."""

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from libra_bench.cli.program import app
from libra_bench.core.errors import MissingResourceError
from libra_bench.model import zoo
from libra_bench.model.loading import load_model

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "kits"))
import zoo_forms

NAMES = sorted(name for name, entry in zoo.ZOO.items() if entry.hub_id)
QUESTION = "Provide a detailed description of the findings in the radiology image."


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache, in the place of the user's."""
    import huggingface_hub.constants as hub

    place = tmp_path / "hub"
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(place))
    monkeypatch.setattr("huggingface_hub.file_download.HF_HUB_CACHE", str(place), raising=False)
    monkeypatch.delenv("LIBRA_BENCH_MODELS", raising=False)
    return place


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    draw = np.random.default_rng(0)
    for name in ("now.png", "before.png"):
        pixels = draw.integers(0, 255, (61, 80), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
    rows = [
        {"question_id": "a", "image": ["now.png", "before.png"], "reference": "Clear lungs."},
        {"question_id": "b", "image": ["now.png"], "reference": "Normal.", "indication": "Cough."},
    ]
    path = tmp_path / "examples.jsonl"
    path.write_text("".join(json.dumps({"text": QUESTION, **row}) + "\n" for row in rows))
    return path


def test_every_named_model_has_a_form() -> None:
    assert sorted(zoo_forms.FIELDS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_asked_and_scored_by_name(name: str, cache: Path, questions: Path) -> None:
    with pytest.raises(MissingResourceError):
        load_model(name)
    zoo_forms.build(name, str(zoo.find(name).hub_id), cache)
    rows = asked_and_scored(name, questions)
    assert rows[0]["metadata"]["conv_mode"] == zoo.find(name).conv_mode
    if name == "maira-2":
        assert rows[1]["prompt"].endswith("INDICATION: Cough. TECHNIQUE: None. COMPARISON: None.")


def test_maira_2_in_its_own_form(cache: Path, questions: Path) -> None:
    """Where Libra's form of it is not there, the page of its authors is taken."""
    entry = zoo.find("maira-2")
    with pytest.raises(MissingResourceError, match="or microsoft/maira-2"):
        load_model("maira-2")
    zoo_forms.build_own_form(str(entry.own_form), cache)
    rows = asked_and_scored("maira-2", questions)
    assert {row["metadata"]["conv_mode"] for row in rows} == {"maira_2_own"}
    asked = "in comparison to the prior frontal image."
    assert rows[0]["prompt"].startswith("Given the current frontal image<image> and the prior")
    assert "<image> PRIOR_REPORT: N/A Provide a description" in rows[0]["prompt"]
    assert rows[1]["prompt"].startswith("Given the current frontal image only<image> Provide a")
    assert rows[1]["prompt"].endswith(f"{asked} INDICATION: Cough. TECHNIQUE: N/A COMPARISON: N/A")


def test_libras_form_of_maira_2_goes_before_its_own(cache: Path) -> None:
    entry = zoo.find("maira-2")
    zoo_forms.build_own_form(str(entry.own_form), cache)
    zoo_forms.build("maira-2", str(entry.hub_id), cache)
    assert load_model("maira-2").conversation.name == "maira_2"


def asked_and_scored(name: str, questions: Path) -> list[dict[str, Any]]:
    """The answers of a named model on two studies, after all of the way was gone."""
    answers = questions.with_name("answers.jsonl")
    run = CliRunner()
    given = ("--model", name, "--examples", str(questions), "--image-root", str(questions.parent))
    asked = ("--num-beams", "2", "--max-new-tokens", "4", "--output", str(answers))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # No tower is passed over, nothing falls back.
        done = run.invoke(app, ["generate", *given, *asked])
    assert done.exit_code == 0, done.output
    rows = [json.loads(line) for line in answers.read_text().splitlines()]
    assert [row["status"] for row in rows] == ["ok", "ok"]
    assert {row["model_id"] for row in rows} == {name}
    assert zoo.find(str(zoo.find(name).hub_id)).name == name
    assert all("dtype=float32" in row["metadata"]["decoding"] for row in rows)
    done = run.invoke(app, ["score", "--predictions", str(answers), "--metrics", "bleu"])
    assert done.exit_code == 0 and "bleu" in done.output.lower(), done.output
    return rows


def test_the_parts_are_those_of_the_published_models(cache: Path) -> None:
    for name in ("llava-rad", "maira-2", "llava-med"):
        zoo_forms.build(name, str(zoo.find(name).hub_id), cache)
    rad = load_model("llava-rad")
    # BiomedCLIP-CXR is a DINOv2 at its own size, not the generic ViT at 224.
    assert rad.model.vision_tower.encoder.config.model_type == "dinov2"
    assert rad.processor.crop == (zoo_forms.SIDE, zoo_forms.SIDE) and rad.processor.rounded
    assert not rad.config.pad
    assert load_model("maira-2").model.vision_tower.maira_feature_norm


def test_a_tower_inside_is_read_only_where_the_published_code_reads_it(cache: Path) -> None:
    folder = zoo_forms.build("llava-med", str(zoo.find("llava-med").hub_id), cache)
    own = load_model("llava-med").model.vision_tower.state_dict()
    path = folder / "config.json"
    raw = json.loads(path.read_text())
    path.write_text(json.dumps({**raw, "unfreeze_mm_vision_tower": False}))
    with pytest.warns(UserWarning, match="holds weights of a vision tower that the published"):
        other = load_model("llava-med").model.vision_tower.state_dict()
    assert any(not own[name].equal(other[name]) for name in own)


@pytest.mark.parametrize("name", ["libra-7b", "llava-rad"])
def test_another_tower_is_another_answerer(name: str, cache: Path) -> None:
    """Towers lie outside the checkpoint, or beside its weights as open_clip's two files."""
    from libra_bench.model.places import find_parts

    zoo_forms.build(name, str(zoo.find(name).hub_id), cache)
    before = load_model(name)
    _, tower = find_parts(name)
    home = tower.parent if tower.is_file() else tower
    (weights,) = [*home.glob("*_checkpoint.pt")] or [*home.glob("*.safetensors")]
    real = weights.resolve()
    if real.suffix == ".pt":
        state = torch.load(real, weights_only=True)
        inner = {key: value + 1e-3 for key, value in state["state_dict"].items()}
        torch.save({**state, "state_dict": inner}, real)
    else:
        save_file({key: value + 1e-3 for key, value in load_file(real).items()}, real)
    after = load_model(name)
    assert before.weights_sha256 == after.weights_sha256
    assert {key for key in before.parts if before.parts[key] != after.parts[key]} == {"tower"}
