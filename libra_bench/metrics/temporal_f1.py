"""Temporal-entity F1: do prediction and reference speak of change in the same words?"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import ClassVar

import numpy as np

from libra_bench.metrics.base import Metric, Output, PerReport
from libra_bench.metrics.cleaning import CLEANINGS
from libra_bench.stats.clusters import Floats


class TemporalF1(Metric):
    """Mean over reports of the F1 between the sets of temporal keywords (Libra; Bannur et al.).

    The keywords ("increased", "stable", "new" …) are Libra's list, matched as whole words. Two
    reports without any agree: 1. One without any against one with some: 0. Where most references
    have no keyword the mean rewards whoever never speaks of change, so a second figure is the mean
    over the reports whose reference has one.
    """

    name: ClassVar[str] = "temporal_f1"
    version: ClassVar[str] = "2"
    outputs: ClassVar[tuple[Output, ...]] = (
        Output("temporal_f1", "Temporal F1"),
        Output("temporal_f1_change", "Temporal F1, change", of_some=True),
    )
    statistics: ClassVar[tuple[str, ...]] = ("value", "count", "change_value", "change_count")

    def __init__(self, cleaning: str = "libra") -> None:
        self._cleaning = cleaning
        self._clean = CLEANINGS[cleaning]

    def settings(self) -> Mapping[str, str]:
        return {"words": "libra", "empty": "1", "agg": "mean", "clean": self._cleaning}

    def compute(self, predictions: Sequence[str], references: Sequence[str]) -> PerReport:
        values, change = np.empty(len(predictions)), np.empty(len(predictions), dtype=np.bool_)
        for row, pair in enumerate(zip(predictions, references, strict=True)):
            said, true = (keywords(self._clean(text)) for text in pair)
            values[row], change[row] = 100 * set_f1(said, true), bool(true)
        return PerReport(
            np.column_stack(
                [values, np.ones(len(values)), np.where(change, values, 0.0), change.astype(float)]
            ),
            {"temporal_f1": values, "temporal_f1_change": np.where(change, values, np.nan)},
        )

    def finalise(self, sums: Floats) -> dict[str, Floats]:
        with np.errstate(invalid="ignore", divide="ignore"):
            return {
                "temporal_f1": sums[..., 0] / sums[..., 1],
                "temporal_f1_change": sums[..., 2] / sums[..., 3],
            }


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
