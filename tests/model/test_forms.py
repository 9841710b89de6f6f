"""Checkpoints in the forms that users have, against the published code's answers on them.

Each kit of `tests/kits/forms` is a small checkpoint with random weights: Llama 3's `tokenizer.json`
with its scaled rotary embedding, Qwen's chat, Phi-3's tokens that take white space along, tokens
that were added but are not special, a vocabulary with more rows than the tokenizer has tokens.
"""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from libra_bench.data.images import load_image
from libra_bench.generation.engines import ENGINES
from libra_bench.generation.protocols import Decoding
from libra_bench.generation.study import Study
from libra_bench.model.conversation import conversation
from libra_bench.model.ends import end_tokens
from libra_bench.model.loading import LoadedModel, load_model
from libra_bench.model.supervision import supervised
from libra_bench.model.tokenizer import encode_with_image, load_tokenizer

FORMS = Path(__file__).resolve().parents[1] / "kits" / "forms"
NAMES = sorted(place.parent.name for place in FORMS.glob("*/expected.json"))


class Kit:
    """A loaded checkpoint and what the published code answers."""

    def __init__(self, name: str) -> None:
        self.folder = FORMS / name
        self.loaded: LoadedModel = load_model(
            self.folder / "checkpoint", vision_tower=FORMS / "rad-dino", device="cpu"
        )
        self.expected: dict[str, Any] = json.loads((self.folder / "expected.json").read_text())
        self.last = np.load(self.folder / "expected.npz")

    def study(self, case: dict[str, Any]) -> Study:
        pixels = [
            self.loaded.processor(load_image(FORMS / "images" / name), "mean")
            for name in case["images"]
        ]
        prior = pixels[1] if len(pixels) > 1 else None
        return Study(case["id"], torch.tensor(case["input_ids"]), pixels[0], prior)


@pytest.fixture(scope="module", params=NAMES)
def kit(request: pytest.FixtureRequest) -> Kit:
    return Kit(request.param)


def test_all_kits_are_here() -> None:
    assert NAMES == [
        "libra-llama3",
        "libra-nonspecial",
        "libra-phi3chat",
        "libra-qwen2chat",
        "libra-vocab",
    ]


def test_prompts_and_ids(kit: Kit) -> None:
    assert len(kit.loaded.tokenizer) == kit.expected["length"]
    for case in kit.expected["cases"]:
        mode = conversation(case["conv_mode"])
        assert mode.prompt(case["text"]) == case["prompt"]
        assert mode.stop == case["stop"]
        ids = encode_with_image(case["prompt"], kit.loaded.tokenizer)
        assert ids == case["input_ids"]


def test_logits_have_a_row_for_each_token_of_the_tokenizer(kit: Kit) -> None:
    for case in kit.expected["cases"]:
        study = kit.study(case)
        prior = None if study.prior is None else study.prior.unsqueeze(0)
        with torch.inference_mode():
            logits = kit.loaded.model([study.prompt_ids], None, study.current.unsqueeze(0), prior)
        expected = torch.from_numpy(kit.last[f"{case['id']}.last"])
        assert len(expected) == kit.expected["length"]
        torch.testing.assert_close(logits.logits[0, -1], expected, atol=2e-4, rtol=0)


@pytest.mark.parametrize("engine", ENGINES)
def test_token_ids_and_texts(kit: Kit, engine: str) -> None:
    """Greedy, which ends at the conversation's text as well, and beam searches."""
    generate = import_module(f"libra_bench.generation.engines.{engine}").generate
    language, tokenizer = kit.loaded.model.language_model, kit.loaded.tokenizer
    for case in kit.expected["cases"]:
        mode = conversation(case["conv_mode"])
        ends = end_tokens(language, tokenizer, mode, kit.folder / "checkpoint")
        for name, one in case["generations"].items():
            if engine == "reference" and one["params"]["max_new_tokens"] > 48:
                continue
            (ids,) = generate(
                kit.loaded.model,
                [kit.study(case)],
                Decoding(name, **one["params"]),
                eos_token_ids=ends,
                pad_token_id=tokenizer.pad_token_id,
            )
            assert ids == one["token_ids"], (case["id"], name)
            assert tokenizer.decode(ids).strip() == one["text"]


def test_labels_and_losses_as_the_published_trainer_makes_them(kit: Kit) -> None:
    cases = {case["id"]: case for case in kit.expected["cases"]}
    tokenizer = load_tokenizer(
        kit.folder / "checkpoint", kit.loaded.config.model_type, training=True
    )
    for row in kit.expected["training"]:
        case = cases[row["id"]]
        ids, labels = supervised(
            case["text"].strip(),
            row["answer"],
            conversation(row["conv_mode"]),
            tokenizer,
            later=[(asked, answered) for asked, answered in row["later"]],
            as_published=True,
        )
        assert ids.tolist() == row["input_ids"]
        assert labels.tolist() == row["labels"]
        if row["loss"] is None:  # All is masked.
            continue
        study = kit.study(case)
        prior = None if study.prior is None else study.prior.unsqueeze(0)
        with torch.inference_mode():
            loss = kit.loaded.model([ids], [labels], study.current.unsqueeze(0), prior).loss
        assert float(loss) == pytest.approx(row["loss"], abs=2e-4)
