"""SembScore: how alike CheXbert's embeddings of two reports are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from libra_bench.core.errors import MissingResourceError
from libra_bench.metrics.base import MeanMetric, Output
from libra_bench.metrics.chexbert import CHECKPOINT, ENCODER, Labeller
from libra_bench.metrics.cleaning import CLEANINGS


class Semb(MeanMetric):
    """Mean cosine of CheXbert's [CLS] embeddings (Yu et al., 2023; "CheXbert vector similarity").

    Args:
        checkpoint, encoder: as of the metric `chexbert`, which shares what is read.
        cleaning: of the texts before.
    """

    name: ClassVar[str] = "semb"
    version: ClassVar[str] = "2"
    outputs: ClassVar[tuple[Output, ...]] = (Output("semb", "SembScore", low=-100.0),)
    requires: ClassVar[tuple[str, ...]] = ("weights",)

    def __init__(
        self, checkpoint: str = CHECKPOINT, encoder: str = ENCODER, cleaning: str = "none"
    ) -> None:
        self._labeller = Labeller(checkpoint, encoder)
        self._cleaning = cleaning
        self._clean = CLEANINGS[cleaning]

    def missing(self) -> list[MissingResourceError]:
        return self._labeller.missing()

    def settings(self) -> Mapping[str, str]:
        return {"weights": self._labeller.fingerprint, "agg": "mean", "clean": self._cleaning}

    def each(self, predictions: Sequence[str], references: Sequence[str]) -> Sequence[float]:
        hypotheses = self._labeller.read([self._clean(text) for text in predictions])
        truths = self._labeller.read([self._clean(text) for text in references])
        return [
            cosine(one.embedding, other.embedding)
            for one, other in zip(hypotheses, truths, strict=True)
        ]


def cosine(first: np.ndarray, second: np.ndarray) -> float:
    """Cosine of two vectors; 0 where one has no length."""
    norms = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / norms if norms else 0.0
