"""CIDEr-D: agreement in the n-grams that are rare among the references."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from libra_bench.core.errors import MissingResourceError
from libra_bench.metrics.base import MeanMetric, Output
from libra_bench.metrics.ptb import TOKENIZER_JAR, jar, ptb_tokeniser, version
from libra_bench.metrics.resources import gaps

ORDERS = (1, 2, 3, 4)
SIGMA = 6.0
Vector = dict[tuple[str, ...], float]


class Cider(MeanMetric):
    """Mean CIDEr-D (Vedantam et al., 2015) over PTB tokens, on its own scale of 0 to 10.

    The formula of `pycocoevalcap.cider`. How rare an n-gram is, is counted over the references
    of the reports that are scored together. Resampling holds these counts fixed: a bootstrap or a
    test draws the reports' figures, not another corpus of references. With a single report every
    n-gram is in all references, and the figure is 0.
    """

    name: ClassVar[str] = "cider"
    version: ClassVar[str] = "1"
    outputs: ClassVar[tuple[Output, ...]] = (Output("cider", "CIDEr", high=10.0),)
    requires: ClassVar[tuple[str, ...]] = ("java", "pycocoevalcap")
    scale: ClassVar[float] = 10.0

    def missing(self) -> list[MissingResourceError]:
        return gaps(lambda: jar(TOKENIZER_JAR))

    def settings(self) -> Mapping[str, str]:
        return {
            "tok": "ptb",
            "impl": f"pycocoevalcap-{version()}",
            "df": "references",
            "sigma": str(SIGMA),
            "agg": "mean",
        }

    def each(self, predictions: Sequence[str], references: Sequence[str]) -> Sequence[float]:
        tokenise = ptb_tokeniser()
        found = [_ngrams(text.split()) for text in tokenise(predictions)]
        known = [_ngrams(text.split()) for text in tokenise(references)]
        holding = Counter(gram for grams in known for gram in grams)
        corpus = math.log(len(known))
        rarity = {gram: corpus - math.log(count) for gram, count in holding.items()}
        return [
            _similarity(prediction, reference, rarity, corpus)
            for prediction, reference in zip(found, known, strict=True)
        ]


def _ngrams(tokens: Sequence[str]) -> Counter[tuple[str, ...]]:
    return Counter(
        tuple(tokens[start : start + order])
        for order in ORDERS
        for start in range(len(tokens) - order + 1)
    )


def _similarity(
    prediction: Counter[tuple[str, ...]],
    reference: Counter[tuple[str, ...]],
    rarity: Mapping[tuple[str, ...], float],
    unseen: float,
) -> float:
    """Mean over the orders of the clipped cosine, times the penalty on the lengths' difference.

    Args:
        rarity: log of references over references with the n-gram.
        unseen: the same for an n-gram that no reference holds, counted as if one did.
    """
    # As the original does, lengths are counted in bigrams: a token less than the text has.
    lengths = [
        sum(count for gram, count in grams.items() if len(gram) == 2)
        for grams in (prediction, reference)
    ]
    penalty = math.exp(-((lengths[0] - lengths[1]) ** 2) / (2 * SIGMA**2))
    total = 0.0
    for one, two in zip(
        _weighted(prediction, rarity, unseen), _weighted(reference, rarity, unseen), strict=True
    ):
        shared = sum(
            min(weight, two[gram]) * two[gram] for gram, weight in one.items() if gram in two
        )
        norms = math.sqrt(sum(w * w for w in one.values()) * sum(w * w for w in two.values()))
        total += shared / norms if norms else shared
    return penalty * total / len(ORDERS)


def _weighted(
    grams: Counter[tuple[str, ...]], rarity: Mapping[tuple[str, ...], float], unseen: float
) -> Iterator[Vector]:
    """For each order the n-grams' counts times their rarity."""
    for order in ORDERS:
        yield {
            gram: count * rarity.get(gram, unseen)
            for gram, count in grams.items()
            if len(gram) == order
        }
