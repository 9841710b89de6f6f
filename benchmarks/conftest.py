"""What the suites share: texts, the calibration that each is held to, and a folder of images."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

SENTENCE = "the heart is stable with mild effusion and a new picc line in the right lower lung"
WORDS = SENTENCE.split()


def count_words() -> dict[tuple[str, str], int]:
    """What text code does: dictionaries, tuples, strings."""
    counts: dict[tuple[str, str], int] = {}
    for both in pairwise(WORDS * 100):
        counts[both] = counts.get(both, 0) + 1
    return counts


def multiply() -> torch.Tensor:
    """A matrix product that does not fit the nearest cache."""
    one = torch.ones(768, 768)
    return one @ one


def calibrated(benchmark: Any, loop: Callable[[], object]) -> Iterator[Any]:
    """A benchmark between two calibrations: their best round is the unit of its time.

    They are its neighbours, so that a machine that is slower for a minute slows both.
    """
    best = best_of(loop)
    yield benchmark
    benchmark.extra_info["calibration"] = min(best, best_of(loop))


def best_of(loop: Callable[[], object], rounds: int = 20) -> float:
    """Processor seconds of the best round: waiting for other processes does not count."""
    seconds = []
    for _ in range(rounds):
        started = time.process_time()
        loop()
        seconds.append(time.process_time() - started)
    return min(seconds)


@pytest.fixture
def python(benchmark: Any) -> Iterator[Any]:
    """A benchmark of interpreted code: held against a loop of Python."""
    yield from calibrated(benchmark, count_words)


@pytest.fixture
def arithmetic(benchmark: Any) -> Iterator[Any]:
    """A benchmark of arithmetic: held against a matrix product."""
    yield from calibrated(benchmark, multiply)


@pytest.fixture(scope="session")
def reports() -> list[str]:
    """200 texts of 60 words in sentences of 12."""
    draw = random.Random(0)
    return [
        " ".join(" ".join(draw.choices(WORDS, k=12)).capitalize() + "." for _ in range(5))
        for _ in range(200)
    ]


@pytest.fixture(scope="session")
def references() -> list[str]:
    """Another 200 of them."""
    draw = random.Random(1)
    return [" ".join(draw.choices(WORDS, k=60)) + "." for _ in range(200)]


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grey JPEG of the size of MIMIC-CXR's."""
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 255, (2544, 3056), dtype=np.uint8)
    path = tmp_path_factory.mktemp("images") / "one.jpg"
    Image.fromarray(pixels).save(path, quality=90)
    return path
