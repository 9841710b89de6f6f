"""Our model against the published implementation's answers, for every kit that is there."""

import json
import os
from dataclasses import dataclass
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
from libra_bench.model.loading import LoadedModel, load_model
from libra_bench.model.supervision import supervised
from libra_bench.model.tokenizer import encode_with_image

PARITY = Path(
    os.environ.get("LIBRA_BENCH_PARITY", Path(__file__).resolve().parents[3] / "shared" / "parity")
)
KITS = sorted(place.parent.name for place in PARITY.glob("libra-*/expected.json")) or ["libra-tac"]


@dataclass
class Kit:
    """A kit's model and the answers to meet."""

    loaded: LoadedModel
    images: Path
    expected: dict[str, Any]
    arrays: Any

    def study(self, case: dict[str, Any]) -> Study:
        pixels = [
            self.loaded.processor(load_image(self.images / name), "mean") for name in case["images"]
        ]
        prompt = conversation(case["conv_mode"]).prompt(case["text"])
        return Study(
            key=case["id"],
            prompt_ids=torch.tensor(encode_with_image(prompt, self.loaded.tokenizer)),
            current=pixels[0],
            prior=pixels[1] if len(pixels) > 1 else None,
        )


@pytest.fixture(params=KITS)
def kit(request: pytest.FixtureRequest, parity: Path) -> Kit:
    folder = parity / request.param
    adapter = next(folder.glob("*/adapter_config.json"), None)
    base = folder if adapter is None else parity / "libra-tac"
    tower = next(base.glob("*/preprocessor_config.json")).parent
    if adapter is None:
        loaded = load_model(base / "checkpoint", vision_tower=tower)
    else:
        loaded = load_model(adapter.parent, model_base=base / "checkpoint", vision_tower=tower)
    expected = json.loads((folder / "expected.json").read_text())
    return Kit(loaded, base / "images", expected, np.load(folder / "expected.npz"))


def test_prompts_and_ids(kit: Kit) -> None:
    for case in kit.expected["cases"]:
        mode = conversation(case["conv_mode"])
        if "prompt" in case:
            assert mode.prompt(case["text"]) == case["prompt"]
            assert mode.stop == case["stop"]
            assert kit.study(case).prompt_ids.tolist() == case["input_ids"]
            # Asked in its own mode, the model makes the same ids.
            kit.loaded.conversation = mode
            assert kit.loaded.prompt_ids(case["text"]).tolist() == case["input_ids"]


def test_pixels_projection_and_logits(kit: Kit) -> None:
    model = kit.loaded.model
    for case in kit.expected["cases"]:
        study, key = kit.study(case), case["id"]
        current = study.current.unsqueeze(0)
        prior = None if study.prior is None else study.prior.unsqueeze(0)
        if f"{key}.pixel_values" in kit.arrays:
            expected = torch.from_numpy(kit.arrays[f"{key}.pixel_values"])
            both = torch.stack([current, current if prior is None else prior])
            torch.testing.assert_close(both, expected, atol=1e-5, rtol=0)
        with torch.inference_mode():
            earlier = None if prior is None else model.encode(prior)
            image = model.connect(model.encode(current), earlier)
            logits = model([study.prompt_ids], None, current, prior).logits[0]
        if f"{key}.projected" in kit.arrays:
            expected = torch.from_numpy(kit.arrays[f"{key}.projected"])
            torch.testing.assert_close(image, expected, atol=1e-4, rtol=0)
        expected = torch.from_numpy(kit.arrays[f"{key}.logits"])
        torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)


def test_training_loss(kit: Kit) -> None:
    cases = {case["id"]: case for case in kit.expected["cases"]}
    for row in kit.expected.get("training", []):
        case = cases[row["id"]]
        mode = conversation(case["conv_mode"])
        ids, labels = supervised(case["text"], row["answer"], mode, kit.loaded.tokenizer)
        assert ids.tolist() == row["input_ids"]
        assert labels.tolist() == row["labels"]
        study = kit.study(case)
        with torch.inference_mode():
            loss = kit.loaded.model(
                [ids],
                [labels],
                study.current.unsqueeze(0),
                None if study.prior is None else study.prior.unsqueeze(0),
            ).loss
        assert float(loss) == pytest.approx(row["loss"], abs=1e-4)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_token_ids(kit: Kit, engine: str, order: tuple[int, ...]) -> None:
    """Greedy and both beam searches, all studies together and in any order."""
    from importlib import import_module

    generate = import_module(f"libra_bench.generation.engines.{engine}").generate
    cases = [kit.expected["cases"][place] for place in order]
    for name in cases[0]["generations"]:
        expected = [case["generations"][name] for case in cases]
        answers = generate(
            kit.loaded.model,
            [kit.study(case) for case in cases],
            Decoding(name, **expected[0]["params"]),
            eos_token_ids=kit.loaded.eos_token_ids,
            pad_token_id=kit.loaded.tokenizer.pad_token_id,
        )
        assert answers == [one["token_ids"] for one in expected]
        texts = [kit.loaded.tokenizer.decode(ids).strip() for ids in answers]
        assert texts == [one["text"] for one in expected]


def test_a_notebook_answers_as_the_kit_does(parity: Path) -> None:
    """`libra_bench.load_model` with a tower that lies elsewhere, all studies at once."""
    import libra_bench

    folder = parity / "libra-mlp"
    cases = json.loads((folder / "expected.json").read_text())["cases"]
    chosen = cases[0]["generations"]["beam3"]["params"]
    model = libra_bench.load_model(
        folder / "checkpoint",
        image_root=str(folder / "images"),
        vision_tower=folder / "clip",
        conv_mode=cases[0]["conv_mode"],
        batch_size=2,
        **chosen,
    )
    examples = [
        libra_bench.Example(question_id=case["id"], image=case["images"], text=case["text"])
        for case in cases
    ]
    texts = [one.text for one in model.generate(examples)]
    assert texts == [case["generations"]["beam3"]["text"] for case in cases]
