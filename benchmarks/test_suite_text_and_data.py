"""Speed of metrics, pairing, sectioning and image loading."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from libra_bench.data.images import load_image
from libra_bench.data.pairing import POLICIES, pair
from libra_bench.data.sections import parse
from libra_bench.metrics.registry import create
from libra_bench.metrics.scoring import score_texts
from libra_bench.model.processor import ImageProcessor

REPORT = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___-year-old with cough.

 COMPARISON:  Chest radiograph ___.

 FINDINGS:

 The lungs are clear. There is no pleural effusion or pneumothorax. The heart is normal in size.

 IMPRESSION:

 No acute cardiopulmonary process.
"""


@pytest.mark.parametrize("name", ["bleu", "rouge_l", "temporal_f1"])
def test_metric(python: Any, reports: list[str], references: list[str], name: str) -> None:
    metric = create(name)
    scores = python(score_texts, reports, references, [metric], trials=1)
    assert scores.figures


def test_bootstrap(python: Any, reports: list[str], references: list[str]) -> None:
    metric = create("temporal_f1")
    assert python(score_texts, reports, references, [metric], trials=2000).figures


def cohort(images: int) -> pd.DataFrame:
    """A joined table: five images a patient, on dates of their own."""
    draw = np.random.default_rng(0)
    numbers = np.arange(images)
    return pd.DataFrame(
        {
            "dicom_id": [f"d{number:07d}" for number in draw.permutation(images)],
            "subject_id": (numbers // 5).astype(str),
            "study_id": (numbers // 2).astype(str),
            "split": "train",
            "view": draw.choice(["PA", "AP", "LATERAL"], images),
            "date": 20000101 + draw.integers(0, 27, images),
            "time": draw.uniform(0, 235959, images),
        }
    )


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_pairing(python: Any, policy: str) -> None:
    frame = cohort(50_000)
    assert len(python(pair, frame, policy)) > 0


def test_sectioning(python: Any) -> None:
    found = python(lambda: [parse(REPORT) for _ in range(200)])
    assert found[0]["impression"] == "No acute cardiopulmonary process."


def test_image_loading(arithmetic: Any, image: Path) -> None:
    assert arithmetic(load_image, image).size == (3056, 2544)


def test_image_preprocessing(arithmetic: Any) -> None:
    from libra_bench.model import zoo

    folder = zoo.is_present(zoo.find("libra-tiny"))
    assert folder is not None
    processor = ImageProcessor.read(folder / "vision_tower")
    picture = Image.fromarray(np.zeros((2544, 3056), dtype=np.uint8)).convert("RGB")
    assert arithmetic(processor, picture, "mean").shape == (3, 112, 112)
