"""Temporal-entity F1: do prediction and reference speak of change in the same words?"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import ClassVar

from libra_bench.metrics.base import MeanMetric, Output
from libra_bench.metrics.cleaning import CLEANINGS


class TemporalF1(MeanMetric):
    """Mean over reports of the F1 between the sets of temporal keywords (Libra; Bannur et al.).

    The keywords ("increased", "stable", "new" …) are Libra's list, matched as whole words. Two
    reports without any agree: 1. One without any against one with some: 0.
    """

    name: ClassVar[str] = "temporal_f1"
    version: ClassVar[str] = "1"
    outputs: ClassVar[tuple[Output, ...]] = (Output("temporal_f1", "Temporal F1"),)

    def __init__(self, cleaning: str = "libra") -> None:
        self._cleaning = cleaning
        self._clean = CLEANINGS[cleaning]

    def settings(self) -> Mapping[str, str]:
        return {"words": "libra", "empty": "1", "agg": "mean", "clean": self._cleaning}

    def each(self, predictions: Sequence[str], references: Sequence[str]) -> Sequence[float]:
        return [
            set_f1(keywords(self._clean(prediction)), keywords(self._clean(reference)))
            for prediction, reference in zip(predictions, references, strict=True)
        ]


def set_f1(prediction: frozenset[str], reference: frozenset[str]) -> float:
    """F1 of two sets; 1 where both are empty."""
    if not prediction and not reference:
        return 1.0
    return 2 * len(prediction & reference) / (len(prediction) + len(reference))


def keywords(text: str) -> frozenset[str]:
    """The temporal keywords among the words of a lower-case text."""
    return frozenset(_pattern().findall(text))


@cache
def _pattern() -> re.Pattern[str]:
    path = resources.files("libra_bench.metrics") / "constants" / "temporal_keywords.json"
    words = json.loads(path.read_text(encoding="utf-8"))
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, words))})\b")
