"""BLEU-1 to BLEU-4 as COCO's captioning papers report them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from libra_bench.core.errors import MissingResourceError
from libra_bench.metrics.base import Metric, Output, PerReport
from libra_bench.metrics.bleu import ORDERS, Bleu, ngram_statistics
from libra_bench.metrics.ptb import TOKENIZER_JAR, jar, ptb_tokeniser, version
from libra_bench.metrics.resources import gaps
from libra_bench.stats.clusters import Floats

# `pycocoevalcap.bleu.bleu_scorer` keeps these in its divisions.
TINY, SMALL = 1e-15, 1e-9


class CocoBleu(Metric):
    """Corpus BLEU over PTB tokens without punctuation, one reference, times 100.

    The formula of `pycocoevalcap.bleu`: BLEU-k is the k-th root of the product of the clipped
    precisions 1..k, times exp(1 - 1/ratio) where predictions are shorter than references.
    """

    name: ClassVar[str] = "bleu"
    version: ClassVar[str] = "1"
    outputs: ClassVar[tuple[Output, ...]] = Bleu.outputs
    statistics: ClassVar[tuple[str, ...]] = (*Bleu.statistics, "reports")
    requires: ClassVar[tuple[str, ...]] = ("java", "pycocoevalcap")

    def missing(self) -> list[MissingResourceError]:
        return gaps(lambda: jar(TOKENIZER_JAR))

    def settings(self) -> Mapping[str, str]:
        return {"tok": "ptb", "impl": f"pycocoevalcap-{version()}", "smooth": "tiny"}

    def compute(self, predictions: Sequence[str], references: Sequence[str]) -> PerReport:
        tokenise = ptb_tokeniser()
        pairs = zip(tokenise(predictions), tokenise(references), strict=True)
        statistics = np.asarray(
            [
                [*ngram_statistics(prediction.split(), reference.split()), 1]
                for prediction, reference in pairs
            ],
            dtype=np.float64,
        )
        return PerReport(statistics, self.finalise(statistics))

    def finalise(self, sums: Floats) -> dict[str, Floats]:
        matches, possible = sums[..., 0:4], sums[..., 4:8]
        ratio = (sums[..., 8] + TINY) / (sums[..., 9] + SMALL)
        # A ratio near 0 (no prediction token at all) drives the penalty to 0.
        with np.errstate(over="ignore"):
            penalty = np.where(ratio < 1, np.exp(1 - 1 / ratio), 1.0)
        products = np.cumprod((matches + TINY) / (possible + SMALL), axis=-1)
        some = sums[..., 10] > 0
        return {
            f"bleu{k}": np.where(some, 100 * penalty * products[..., k - 1] ** (1 / k), np.nan)
            for k in ORDERS
        }
