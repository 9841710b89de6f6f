"""ROUGE-L: the longest common subsequence of words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar

from libra_bench.metrics.base import MeanMetric, Output
from libra_bench.metrics.cleaning import CLEANINGS


class RougeL(MeanMetric):
    """Mean F1 of the longest common subsequence (Lin, 2004), as `rouge_score` has it.

    Tokens are runs of a-z and 0-9 in lower case, without a stemmer. Libra prints the median of an
    unseeded bootstrap of this mean; the mean itself is what that estimates.
    """

    name: ClassVar[str] = "rouge_l"
    version: ClassVar[str] = "1"
    outputs: ClassVar[tuple[Output, ...]] = (Output("rouge_l", "ROUGE-L"),)

    def __init__(self, cleaning: str = "libra") -> None:
        self._cleaning = cleaning
        self._clean = CLEANINGS[cleaning]

    def settings(self) -> Mapping[str, str]:
        return {
            "tok": "rouge_score",
            "stemmer": "no",
            "figure": "f1",
            "agg": "mean",
            "clean": self._cleaning,
        }

    def each(self, predictions: Sequence[str], references: Sequence[str]) -> Sequence[float]:
        return [
            f1(_tokens(self._clean(prediction)), _tokens(self._clean(reference)))
            for prediction, reference in zip(predictions, references, strict=True)
        ]


def f1(prediction: Sequence[str], reference: Sequence[str]) -> float:
    """F1 of the longest common subsequence of two token lists; 0 where either is empty."""
    if not prediction or not reference:
        return 0.0
    common = common_subsequence_length(prediction, reference)
    precision, recall = common / len(prediction), common / len(reference)
    return 2 * precision * recall / (precision + recall) if common else 0.0


def common_subsequence_length(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence, a row at a time as the bits of one integer.

    Hyyrö (2004), "Bit-parallel LCS-length computation revisited": a zero bit of `row` marks a
    column where the length grows, so that a row costs one addition instead of one step a column.
    """
    places: dict[str, int] = {}
    for position, token in enumerate(first):
        places[token] = places.get(token, 0) | 1 << position
    everything = (1 << len(first)) - 1
    row = everything
    for token in second:
        hits = row & places.get(token, 0)
        row = (row + hits | row - hits) & everything
    return len(first) - row.bit_count()


def _tokens(text: str) -> list[str]:
    return re.sub(r"[^a-z0-9]+", " ", text.lower()).split()
