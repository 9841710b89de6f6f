"""BLEU-1 to BLEU-4 as Libra reports them: Hugging Face `evaluate`'s corpus formula."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from inspect import unwrap
from sys import intern
from typing import ClassVar

import numpy as np

from libra_bench.metrics.base import Metric, Output, PerReport
from libra_bench.metrics.cleaning import CLEANINGS
from libra_bench.stats.clusters import Floats

ORDERS = (1, 2, 3, 4)
REMEMBERED = 8192
"""Texts whose tokens are kept: normal reports come again and again."""


class Bleu(Metric):
    """Corpus BLEU over 13a tokens, unsmoothed, one reference (Papineni et al., 2002).

    BLEU-k is the geometric mean of the clipped n-gram precisions 1..k times the brevity penalty
    exp(1 - reference length / prediction length) where predictions are shorter; 0 where one of
    the precisions is 0. This is `evaluate`'s `bleu` with `max_order=k`, times 100.
    """

    name: ClassVar[str] = "bleu"
    version: ClassVar[str] = "1"
    outputs: ClassVar[tuple[Output, ...]] = tuple(Output(f"bleu{k}", f"BLEU-{k}") for k in ORDERS)
    statistics: ClassVar[tuple[str, ...]] = (
        *(f"matches{k}" for k in ORDERS),
        *(f"possible{k}" for k in ORDERS),
        "prediction_length",
        "reference_length",
    )

    def __init__(self, cleaning: str = "libra") -> None:
        self._cleaning = cleaning
        self._clean = CLEANINGS[cleaning]

    def settings(self) -> Mapping[str, str]:
        return {"tok": "13a", "smooth": "none", "case": "as cleaned", "clean": self._cleaning}

    def compute(self, predictions: Sequence[str], references: Sequence[str]) -> PerReport:
        tokenise = _tokeniser()
        statistics = np.empty((len(predictions), len(self.statistics)))
        for row, pair in enumerate(zip(predictions, references, strict=True)):
            statistics[row] = ngram_statistics(*(tokenise(self._clean(text)) for text in pair))
        return PerReport(statistics, self.finalise(statistics))

    def finalise(self, sums: Floats) -> dict[str, Floats]:
        matches, possible = sums[..., 0:4], sums[..., 4:8]
        predicted, expected = sums[..., 8], sums[..., 9]
        with np.errstate(divide="ignore", invalid="ignore"):
            precision = np.where(possible > 0, matches / possible, 0.0)
            logs = np.cumsum(np.log(precision), axis=-1)
            penalty = np.where(
                predicted >= expected, 1.0, np.exp(1 - expected / np.where(predicted, predicted, 1))
            )
            penalty = np.where(predicted > 0, penalty, 0.0)
            figures = {f"bleu{k}": 100 * penalty * np.exp(logs[..., k - 1] / k) for k in ORDERS}
        # Without a single reference token nothing was scored.
        return {name: np.where(expected > 0, value, np.nan) for name, value in figures.items()}


def _tokeniser() -> Callable[[str], tuple[str, ...]]:
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a
    from sacrebleu.tokenizers.tokenizer_re import TokenizerRegexp

    tokenizer = Tokenizer13a()  # type: ignore[no-untyped-call]
    # Past sacrebleu's own caches, which keep each text four times.
    words = TokenizerRegexp()  # type: ignore[no-untyped-call]
    tokenizer._post_tokenizer = partial(  # type: ignore[assignment]
        unwrap(TokenizerRegexp.__call__), words
    )
    plain = partial(unwrap(Tokenizer13a.__call__), tokenizer)

    @lru_cache(maxsize=REMEMBERED)
    def tokenise(text: str) -> tuple[str, ...]:
        # A word is one object however many texts hold it.
        return tuple(map(intern, plain(text).split()))

    return tokenise


def ngram_statistics(prediction: Sequence[str], reference: Sequence[str]) -> list[float]:
    """`Bleu.statistics` of a pair of token lists: clipped matches, possible n-grams, lengths."""
    matches, possible = [], []
    for order in ORDERS:
        found = Counter(zip(*(prediction[start:] for start in range(order)), strict=False))
        known = Counter(zip(*(reference[start:] for start in range(order)), strict=False))
        matches.append(sum(min(count, known[gram]) for gram, count in found.items()))
        possible.append(max(len(prediction) - order + 1, 0))
    return [*matches, *possible, len(prediction), len(reference)]
