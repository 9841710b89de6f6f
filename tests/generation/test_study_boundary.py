"""What one study may cost: itself, whatever a decoder or a tokenizer raises; never the others."""

import json
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from libra_bench.core.errors import InputError, StudyError, cause_of
from libra_bench.core.records import Example, Prediction
from libra_bench.data import images
from libra_bench.generation import search
from libra_bench.generation.driver import Driver
from libra_bench.generation.engines import fast, reference
from libra_bench.generation.libra import LibraSystem
from libra_bench.generation.log import PredictionLog
from libra_bench.generation.protocols import Decoding
from libra_bench.model.loading import LoadedModel, load_model

GREEDY = Decoding("short", max_new_tokens=3)
BEAMS = Decoding("beams", num_beams=3, max_new_tokens=3)
SAMPLED = Decoding("drawn", do_sample=True, temperature=0.7, max_new_tokens=3)
DECODINGS = pytest.mark.parametrize("decoding", [GREEDY, BEAMS, SAMPLED], ids=lambda one: one.name)
ENGINES = pytest.mark.parametrize("engine", [fast, reference], ids=["fast", "reference"])


@pytest.fixture(scope="module")
def tiny() -> LoadedModel:
    return load_model("libra-tiny", device="cpu")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    picture = np.arange(900).reshape(30, 30).astype(np.uint8)
    for number in range(4):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    return tmp_path


def examples(names: Sequence[str]) -> list[Example]:
    return [
        Example(question_id=f"s{number}", image=[name], text="Describe.")
        for number, name in enumerate(names)
    ]


def answers(system: LibraSystem, path: Path, asked: list[Example]) -> list[Prediction]:
    with PredictionLog(path) as log:
        Driver(system, log).run(asked)
        return log.finish(asked)


RAISED = [
    *(KeyError(5), IndexError("list index"), AttributeError("no x"), TypeError("of int")),
    *(RecursionError("deep"), MemoryError(), ZeroDivisionError("division"), EOFError()),
    *(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), OverflowError("long"), AssertionError()),
]


@pytest.mark.parametrize("raised", RAISED, ids=lambda one: type(one).__name__)
def test_what_a_decoder_raises_costs_its_study(
    tiny: LoadedModel, root: Path, monkeypatch: pytest.MonkeyPatch, raised: Exception
) -> None:
    picture = images._load_picture

    def broken(path: Path) -> Image.Image:
        if path.name == "1.png":
            raise raised
        return picture(path)

    monkeypatch.setattr(images, "_load_picture", broken)
    system = LibraSystem(tiny, root, GREEDY, "fast", "4")
    made = answers(system, root / "p.jsonl", examples(["0.png", "1.png", "2.png"]))
    assert [one.status for one in made] == ["ok", "failed", "ok"]
    assert made[1].error == f"{root / '1.png'}: cannot be read as an image ({cause_of(raised)})"


def test_names_that_no_file_can_have_cost_their_studies(tiny: LoadedModel, root: Path) -> None:
    asked = examples(["a\0.png", "0.png", "x" * 300, "../0.png"])
    system = LibraSystem(tiny, root, GREEDY, "fast", "4")
    system.check(asked)
    made = answers(system, root / "p.jsonl", asked)
    assert [one.status for one in made] == ["failed", "ok", "failed", "failed"]


class Mute:
    """A tokenizer with a token that has no text, and a text that has no tokens."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.decoded = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def encode(self, text: str) -> list[int]:
        if "unspeakable" in text:
            raise TypeError("no such text")
        return list(self._tokenizer.encode(text))

    def decode(self, ids: Sequence[int]) -> str:
        self.decoded += 1
        if self.decoded == 2:
            raise IndexError("piece id is out of range.")
        return str(self._tokenizer.decode(ids))


def test_tokens_without_text_cost_their_study(
    tiny: LoadedModel, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiny, "tokenizer", Mute(tiny.tokenizer))
    asked = examples(["0.png", "1.png", "2.png", "3.png"])
    asked[3] = asked[3].model_copy(update={"text": "unspeakable"})
    system = LibraSystem(tiny, root, GREEDY, "fast", "1")
    made = answers(system, root / "p.jsonl", asked)
    faults = {one.question_id: one.error for one in made if one.status == "failed"}
    assert faults.pop("s3") == "the text cannot be made tokens (no such text)"
    (fault,) = faults.values()
    assert fault == "its 3 tokens cannot be decoded (piece id is out of range.)"
    assert sum(one.status == "ok" for one in made) == 2


def test_faults_of_the_program_stop_a_run(
    tiny: LoadedModel, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong name in an engine is nobody's image, and a full disk would lose every answer."""
    system = LibraSystem(tiny, root, GREEDY, "fast", "4")
    for fault in (AttributeError("no such name"), OSError(28, "No space left on device")):

        def engine(*_: object, fault: Exception = fault, **__: object) -> None:
            raise fault

        monkeypatch.setattr(system, "_generate", engine)
        with pytest.raises(type(fault)):
            answers(system, root / f"{type(fault).__name__}.jsonl", examples(["0.png"]))


def test_an_image_of_one_colour_is_told_with_the_study(tiny: LoadedModel, root: Path) -> None:
    Image.new("L", (30, 30), 0).save(root / "black.png")
    system = LibraSystem(tiny, root, GREEDY, "fast", "4")
    with pytest.warns(UserWarning, match=r"id 's1': .*black\.png: all of the image is black"):
        made = answers(system, root / "p.jsonl", examples(["0.png", "black.png"]))
    lines = [json.loads(line) for line in (root / "p.jsonl").read_text().splitlines()]
    assert [one.status for one in made] == ["ok", "ok"]
    assert "notices" not in lines[0]
    assert "black" in lines[1]["notices"][0]


def test_pixel_values_that_are_not_finite_fail(
    tiny: LoadedModel, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiny, "processor", lambda *_: torch.full((3, 4, 4), torch.inf))
    system = LibraSystem(tiny, root, GREEDY, "fast", "4")
    made = answers(system, root / "p.jsonl", examples(["0.png"]))
    assert made[0].status == "failed" and "0.png: its pixel values are not finite" in str(made[0])


@ENGINES
@DECODINGS
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_logits_that_are_not_finite_fail_by_name(
    root: Path, engine: Any, decoding: Decoding, value: float
) -> None:
    """The head's row of one token is broken, as after a damaged copy of the weights."""
    loaded = load_model("libra-tiny", device="cpu")
    head = loaded.model.language_model.get_output_embeddings()
    with torch.no_grad():
        head.weight[7] = value
    name = engine.__name__.rpartition(".")[2]
    system = LibraSystem(loaded, root, decoding, name, "2")
    made = answers(system, root / "p.jsonl", examples(["0.png", "1.png", "2.png"]))
    assert [(one.status, one.text) for one in made] == [("failed", "")] * 3
    assert {one.error for one in made} == {str(search.NotFiniteError())}


@pytest.mark.parametrize("decoding", [GREEDY, BEAMS, SAMPLED], ids=lambda one: one.name)
def test_one_study_without_numbers_leaves_the_others_theirs(decoding: Decoding) -> None:
    """Two places of one search; the second is told NaN once, in its first step."""
    device = torch.device("cpu")
    chosen = search.start(2, 4, decoding, [1], device)
    for place in (0, 1):
        chosen.begin(place, torch.tensor([3, 4, 5]), seed=place)
    logits = torch.linspace(-1, 1, 20).repeat(2, decoding.num_beams, 1)
    broken = logits.clone()
    broken[1, 0, 9] = torch.nan
    for step in range(3):
        chosen.advance([0, 1], broken if step == 0 else logits)
    assert len(chosen.answer(0)) == 3
    with pytest.raises(StudyError, match="not finite"):
        chosen.answer(1)
    # Whoever takes the place next is not blamed.
    chosen.begin(1, torch.tensor([3, 4, 5]), seed=5)
    chosen.advance([1], logits[1:])
    chosen.advance([1], logits[1:])
    chosen.advance([1], logits[1:])
    assert len(chosen.answer(1)) == 3


def test_tokens_that_a_model_forbids_are_no_fault() -> None:
    """Minus infinity is how a token is ruled out."""
    chosen = search.start(1, 4, GREEDY, [1], torch.device("cpu"))
    chosen.begin(0, torch.tensor([3]), seed=0)
    logits = torch.full((1, 1, 20), -torch.inf)
    logits[..., 4] = 0.0
    for _ in range(3):
        chosen.advance([0], logits)
    assert chosen.answer(0) == [4, 4, 4]


def test_the_case_of_a_corrupt_file_among_whole_ones(tiny: LoadedModel, root: Path) -> None:
    shared = Path(__file__).resolve().parents[3] / "shared" / "cases" / "corrupt_deflated.dcm"
    if not shared.is_file():
        pytest.skip("needs the case")
    shutil.copyfile(shared, root / "broken")
    system = LibraSystem(tiny, root, GREEDY, "fast", "4")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = answers(system, root / "p.jsonl", examples(["0.png", "broken", "1.png"]))
    assert [one.status for one in made] == ["ok", "failed", "ok"]
    assert "decompressing" in (made[1].error or "")


def test_no_image_at_all_is_told_before_the_run(tiny: LoadedModel, root: Path) -> None:
    system = LibraSystem(tiny, root, GREEDY, "fast", "4")
    with pytest.raises(InputError, match="no example has an image"):
        system.check(examples(["a\0.png", "b" * 300]))
