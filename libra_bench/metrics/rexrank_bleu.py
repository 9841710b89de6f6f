"""BLEU-2 as the ReXrank leaderboard computes it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

from libra_bench.metrics.base import MeanMetric, Output
from libra_bench.metrics.bleu import ngram_statistics

EPSILON = 0.1


class RexrankBleu(MeanMetric):
    """Mean of sentence BLEU-2, times 100 (the leaderboard prints it from 0 to 1).

    A report is one sentence: lower case, "." set apart, split at spaces. A text without a shared
    bigram counts a tenth of one (smoothing method 1 of Chen & Cherry, 2014, as in `fast_bleu`);
    one without a shared word is 0. It is not Libra's corpus BLEU-2: never compare the two.
    """

    name: ClassVar[str] = "bleu"
    version: ClassVar[str] = "1"
    outputs: ClassVar[tuple[Output, ...]] = (Output("bleu2", "BLEU-2"),)

    def settings(self) -> Mapping[str, str]:
        return {"tok": "spaces", "case": "lower", "smooth": f"epsilon-{EPSILON}", "agg": "mean"}

    def each(self, predictions: Sequence[str], references: Sequence[str]) -> Sequence[float]:
        return [
            sentence_bleu2(words(prediction), words(reference))
            for prediction, reference in zip(predictions, references, strict=True)
        ]


def words(text: str) -> list[str]:
    """The leaderboard's tokens: split at spaces alone, so a line break stays inside its token."""
    return [word for word in text.lower().replace(".", " .").split(" ") if word]


def sentence_bleu2(prediction: Sequence[str], reference: Sequence[str]) -> float:
    """BLEU-2 of one sentence, 0 to 1."""
    unigrams, bigrams, *_ = ngram_statistics(prediction, reference)
    if not unigrams:
        return 0.0
    precision = unigrams / len(prediction)
    second = (bigrams or EPSILON) / max(len(prediction) - 1, 1)
    penalty = min(1.0, math.exp(1 - len(reference) / len(prediction)))
    return penalty * math.sqrt(precision * second)
