"""What the suites share: texts, the calibration that each is held to, and a folder of images."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SENTENCE = "the heart is stable with mild effusion and a new picc line in the right lower lung"
WORDS = SENTENCE.split()


@pytest.fixture
def python(benchmark: Any) -> Callable[..., Any]:
    """A benchmark of interpreted code: held against a loop of Python."""
    benchmark.extra_info["calibration"] = "test_calibration_python"
    return benchmark


@pytest.fixture
def arithmetic(benchmark: Any) -> Callable[..., Any]:
    """A benchmark of matrix products: held against one."""
    benchmark.extra_info["calibration"] = "test_calibration_arithmetic"
    return benchmark


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
