"""MAIRA-2's own form, against the answers of transformers 4.51.3 (`tests/kits/maira2_kit.py`)."""

import json
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from libra_bench.core.errors import InputError
from libra_bench.core.records import Example
from libra_bench.data.images import load_image
from libra_bench.generation.engines import ENGINES
from libra_bench.generation.protocols import Decoding
from libra_bench.generation.study import Study
from libra_bench.model.loading import LoadedModel, load_model
from libra_bench.model.questions import images_of, question_of

KITS = Path(__file__).resolve().parents[1] / "kits"
KIT, IMAGES = KITS / "maira2", KITS / "forms" / "images"
CASES: list[dict[str, Any]] = json.loads((KIT / "expected.json").read_text())["cases"]
LIBRAS = "Provide a detailed description of the findings in the radiology image."


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return load_model(KIT / "checkpoint", device="cpu")


def example(case: dict[str, Any]) -> Example:
    left_out = ("id", "input_ids", "answers")
    fields = {name: value for name, value in case.items() if name not in left_out}
    return Example(question_id=case["id"], text=LIBRAS, **fields)


def study(loaded: LoadedModel, case: dict[str, Any]) -> Study:
    one, mode = example(case), loaded.conversation.name
    pixels = {
        view: loaded.processor(load_image(IMAGES / name), "none")
        for view, name in images_of(one, mode).items()
    }
    ids = loaded.prompt_ids(question_of(one, mode))
    return Study(
        case["id"], ids, pixels["current"], pixels.get("prior"), lateral=pixels.get("lateral")
    )


def test_the_cases_have_one_two_and_three_images() -> None:
    assert [len(images_of(example(case), "maira_2_own")) for case in CASES] == [1, 2, 2, 3]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_ids_and_logits(loaded: LoadedModel, case: dict[str, Any]) -> None:
    asked = study(loaded, case)
    assert asked.prompt_ids.tolist() == case["input_ids"]
    # Rows that no token has stay, as in transformers.
    assert loaded.config.language.vocab_size == 352 > len(loaded.tokenizer)
    views = (asked.current, asked.prior, asked.lateral)
    current, prior, lateral = (None if one is None else one.unsqueeze(0) for one in views)
    assert current is not None
    with torch.inference_mode():
        image = loaded.model.look(current, prior, lateral)
        logits: Any = loaded.model.read([asked.prompt_ids], None, image).logits
    expected = torch.from_numpy(np.load(KIT / "expected.npz")[case["id"]])
    torch.testing.assert_close(logits[0, -1], expected, atol=2e-4, rtol=0)


@pytest.mark.parametrize("engine", ENGINES)
def test_answers(loaded: LoadedModel, engine: str) -> None:
    """All studies at once in the fast engine, whose prompts have other lengths."""
    generate = import_module(f"libra_bench.generation.engines.{engine}").generate
    studies = [study(loaded, case) for case in CASES]
    for name in CASES[0]["answers"]:
        found = generate(
            loaded.model,
            studies,
            Decoding(name, **CASES[0]["answers"][name]["params"]),
            eos_token_ids=loaded.eos_token_ids,
            pad_token_id=loaded.tokenizer.pad_token_id,
        )
        for case, ids in zip(CASES, found, strict=True):
            assert ids == case["answers"][name]["token_ids"], (case["id"], name)
            assert loaded.tokenizer.decode(ids).strip() == case["answers"][name]["text"]


def test_a_lateral_image_and_a_prior_report_have_their_places() -> None:
    one = example(CASES[3])
    assert list(images_of(one, "maira_2_own").items()) == [
        ("current", "a_current.png"),
        ("lateral", "c_current.png"),
        ("prior", "b_prior.png"),
    ]
    text = question_of(one, "maira_2_own")
    assert text.startswith(
        "Given the current frontal image<image> the current lateral image<image>"
    )
    assert " and the prior frontal image<image> PRIOR_REPORT: N/A Provide a description" in text
    # Another question stays as it is, behind the images.
    other = one.model_copy(update={"text": "Is there edema?"})
    assert question_of(other, "maira_2_own").endswith("<image> PRIOR_REPORT: N/A Is there edema?")


def test_grey_values_are_stretched_before_anything_else(loaded: LoadedModel) -> None:
    """MAIRA-2's own step: (value - least) / (most - least) * 255, cut to whole numbers."""
    from PIL import Image

    ramp = Image.fromarray(np.array([[50, 60], [75, 150]], dtype=np.uint8)).convert("RGB")
    from libra_bench.model.processor import _stretched

    assert np.asarray(_stretched(ramp))[..., 0].tolist() == [[0, 25], [63, 255]]
    flat = Image.new("RGB", (2, 2), (9, 9, 9))
    assert np.asarray(_stretched(flat)).max() == 0
    assert loaded.processor.stretched


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(KIT / "checkpoint", tmp_path / "maira-2"))


CONFIGS = {
    "projector_n_layers": (3, "unexpected: projector.6"),
    "projector_hidden_act": ("relu", "projector_hidden_act 'relu'"),
    "vision_feature_layer": (-2, "vision_feature_layer -2"),
    "vision_feature_select_strategy": ("odd", "vision_feature_select_strategy 'odd'"),
    "image_token_index": (5, "its tokenizer gives <image> the id 346"),
    "model_type": ("llava", "'llava' in transformers' own layout is not read"),
    "vision_config": (None, "no vision_config of a dinov2"),
    "text_config.hidden_size": (16, "model.embed_tokens.weight"),
    "text_config.num_hidden_layers": (3, "2 layers in the file, 3 expected"),
    "text_config.model_type": ("t5", "text_config.model_type 't5'"),
    "text_config.vocab_size": (340, "model.embed_tokens.weight"),
    "vision_config.hidden_size": (16, "the vision tower does not fit its weights"),
    "vision_config.num_hidden_layers": (2, "out_features ['stage3']"),
    "vision_config.apply_layernorm": (False, "apply_layernorm is off"),
    "vision_config.reshape_hidden_states": (True, "reshape_hidden_states must be off"),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_configuration_that_does_not_fit(copy: Path, name: str) -> None:
    value, message = CONFIGS[name]
    raw = json.loads((copy / "config.json").read_text())
    *part, key = name.split(".")
    (raw[part[0]] if part else raw)[key] = value
    (copy / "config.json").write_text(json.dumps(raw))
    with pytest.raises(InputError) as found:
        load_model(copy, device="cpu")
    assert message in str(found.value) and str(copy) in str(found.value)


def test_what_has_no_meaning_for_the_own_form(copy: Path) -> None:
    for given, message in (
        ({"vision_tower": KITS / "forms" / "rad-dino"}, "--vision-tower has no meaning"),
        ({"model_base": copy}, "--model-base has no meaning"),
        ({"conv_mode": "libra_v1"}, "brings|has one alone"),
        ({"training": True}, "is not trained here"),
    ):
        with pytest.raises(InputError, match=message):
            load_model(copy, device="cpu", **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (None, "no chat template"),
        ("{{ nothing.at_all }}", "the chat template cannot be used"),
        ("no image", "puts 0 images where 1 were given"),
    ],
)
def test_a_chat_template_that_cannot_be_used(
    copy: Path, template: str | None, message: str
) -> None:
    (copy / "chat_template.json").unlink()
    path = copy / "tokenizer_config.json"
    raw = {**json.loads(path.read_text()), "chat_template": template}
    path.write_text(json.dumps(raw))
    with pytest.raises(InputError, match=message):
        load_model(copy, device="cpu")


def test_an_image_word_in_a_section_is_not_taken_for_an_image(loaded: LoadedModel) -> None:
    case = {**CASES[0], "indication": "<image> cough"}
    asked = study(loaded, case)
    with pytest.raises(InputError, match="32 places for vectors of images in the prompt, 16"):
        loaded.model.embed(asked.prompt_ids, loaded.model.look(asked.current[None], None)[0])


def test_libras_layout_may_keep_the_type_of_the_own_form(tmp_path: Path) -> None:
    """The published code reads such a page by its name, whatever its `model_type` says."""
    from libra_bench.model.configuration import parse_config

    raw = {"model_type": "maira2", "mm_vision_tower": "x", "mm_hidden_size": 8}
    found = parse_config(raw, "here")
    assert not found.is_own_form and found.model_type == "libra"
