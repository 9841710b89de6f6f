"""Libra as a system: what is refused at once, and what a device out of memory costs."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from libra_bench.core.errors import InputError, Notice
from libra_bench.core.records import Example, Prediction
from libra_bench.generation.driver import Driver
from libra_bench.generation.libra import LibraSystem
from libra_bench.generation.log import PredictionLog
from libra_bench.generation.protocols import Decoding
from libra_bench.generation.study import Study
from libra_bench.model.loading import LoadedModel, load_model

DECODING = Decoding("short", max_new_tokens=3)
EXAMPLES = [
    Example(question_id=str(number), image=["image.png"], text=f"Question {number}.")
    for number in range(6)
]


@pytest.fixture(scope="module")
def tiny() -> LoadedModel:
    return load_model("libra-tiny")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    Image.fromarray(np.arange(900, dtype=np.uint8).reshape(30, 30)).save(tmp_path / "image.png")
    return tmp_path


class Device:
    """An engine on a device that holds `room` studies; `broken` ones never fit."""

    def __init__(self, room: int, broken: Sequence[str] = ()) -> None:
        self.room, self.broken = room, broken
        self.calls: list[tuple[int, list[str]]] = []

    def __call__(
        self, model: object, studies: Sequence[Study], decoding: object, **options: Any
    ) -> list[list[int]]:
        abreast = options["side_by_side"]
        self.calls.append((abreast, [study.key for study in studies]))
        for place, study in enumerate(studies):
            # The first is done before memory runs out.
            if study.key in self.broken or (place == 1 and abreast > self.room):
                raise torch.OutOfMemoryError("out of memory")
            options["on_done"](place, [5, 6])
        return [[5, 6]] * len(studies)


def answers(system: LibraSystem, path: Path) -> list[Prediction]:
    with PredictionLog(path) as log:
        Driver(system, log).run(EXAMPLES)
        return log.finish(EXAMPLES)


def test_out_of_memory_halves_and_loses_no_report(tiny: LoadedModel, root: Path) -> None:
    system = LibraSystem(tiny, root, DECODING, "fast", "8")
    device = system._generate = Device(room=2)
    with pytest.warns(UserWarning) as heard:
        made = answers(system, root / "p.jsonl")
    assert [one.question_id for one in made] == [one.question_id for one in EXAMPLES]
    assert {one.status for one in made} == {"ok"}
    assert [abreast for abreast, _ in device.calls] == [8, 4, 2]
    assert [len(keys) for _, keys in device.calls] == [6, 5, 4], "what was answered is not asked"
    assert [str(one.message) for one in heard] == [
        "out of memory: 4 studies side by side from now on",
        "out of memory: 2 studies side by side from now on",
    ]


def test_a_study_that_never_fits_fails_alone(tiny: LoadedModel, root: Path) -> None:
    system = LibraSystem(tiny, root, DECODING, "fast", "2")
    system._generate = Device(room=8, broken=["3"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = answers(system, root / "p.jsonl")
    assert {one.question_id: one.status for one in made if one.status != "ok"} == {"3": "failed"}
    assert made[3].error == "out of memory"
    assert len(made) == 6


def long(tiny: LoadedModel, *keys: str) -> list[Example]:
    """Examples whose prompts leave no room for an answer."""
    text = "lungs " * 4 * tiny.config.context_length
    return [Example(question_id=key, image=["image.png"], text=text) for key in keys]


def test_only_prompts_that_are_all_too_long_are_refused(tiny: LoadedModel, root: Path) -> None:
    system = LibraSystem(tiny, root, DECODING, "fast", "2")
    with pytest.raises(InputError, match="too long") as caught:
        system.check(long(tiny, "a", "b"))
    assert "id 'a'" in str(caught.value)
    assert "id 'b'" in str(caught.value)
    assert "the model's context has" in str(caught.value)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        system.check(EXAMPLES)


def test_a_prompt_that_is_too_long_costs_its_study(tiny: LoadedModel, root: Path) -> None:
    """It is told before any work, with its id, and recorded with its cause; all others answer."""
    system = LibraSystem(tiny, root, DECODING, "fast", "2")
    asked = [EXAMPLES[0], *long(tiny, "a"), *EXAMPLES[1:]]
    with pytest.warns(Notice, match="1 studies will fail; prompts that are too long: id 'a'"):
        system.check(asked)
    made: list[Prediction] = []
    system.generate(asked, made.append)
    assert len(made) == len(asked)
    (one,) = [one for one in made if one.status == "failed"]
    assert one.question_id == "a"
    assert "the model's context has" in str(one.error)


def test_the_kind_of_attention_is_told(tiny: LoadedModel, root: Path) -> None:
    facts = LibraSystem(tiny, root, DECODING, "fast").describe()
    assert facts["attention"] == "sdpa"
    assert facts["engine"] == "fast"
