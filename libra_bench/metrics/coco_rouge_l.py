"""ROUGE-L as COCO's captioning papers report it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from libra_bench.core.errors import MissingResourceError
from libra_bench.metrics.base import MeanMetric, Output
from libra_bench.metrics.ptb import TOKENIZER_JAR, jar, ptb_tokeniser, version
from libra_bench.metrics.resources import gaps
from libra_bench.metrics.rouge_l import common_subsequence_length

BETA = 1.2
"""Recall weighs more than precision, where `rouge_score`'s F1 weighs both alike."""


class CocoRougeL(MeanMetric):
    """Mean F-measure (beta 1.2) of the longest common subsequence of PTB tokens.

    The formula of `pycocoevalcap.rouge`. Two texts that hold nothing but punctuation are equal
    (100), as there.
    """

    name: ClassVar[str] = "rouge_l"
    version: ClassVar[str] = "1"
    outputs: ClassVar[tuple[Output, ...]] = (Output("rouge_l", "ROUGE-L"),)
    requires: ClassVar[tuple[str, ...]] = ("java", "pycocoevalcap")

    def missing(self) -> list[MissingResourceError]:
        return gaps(lambda: jar(TOKENIZER_JAR))

    def settings(self) -> Mapping[str, str]:
        return {
            "tok": "ptb",
            "impl": f"pycocoevalcap-{version()}",
            "figure": f"f{BETA}",
            "agg": "mean",
        }

    def each(self, predictions: Sequence[str], references: Sequence[str]) -> Sequence[float]:
        tokenise = ptb_tokeniser()
        return [
            # Split at single spaces: an empty text is one empty token, as in the original.
            f_beta(prediction.split(" "), reference.split(" "))
            for prediction, reference in zip(
                tokenise(predictions), tokenise(references), strict=True
            )
        ]


def f_beta(prediction: Sequence[str], reference: Sequence[str]) -> float:
    """F-measure with `BETA` of the longest common subsequence of two token lists, none empty."""
    common = common_subsequence_length(prediction, reference)
    precision, recall = common / len(prediction), common / len(reference)
    if not common:
        return 0.0
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)
