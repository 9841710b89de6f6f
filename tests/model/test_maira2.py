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
        logits = loaded.model.read([asked.prompt_ids], None, image).logits
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
