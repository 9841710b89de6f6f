"""METEOR as Libra reports it: NLTK's, over NLTK's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import ClassVar

from libra_bench.core.errors import MissingResourceError
from libra_bench.metrics.base import MeanMetric, Output
from libra_bench.metrics.cleaning import CLEANINGS
from libra_bench.metrics.punkt import word_tokeniser
from libra_bench.metrics.resources import gaps
from libra_bench.metrics.wordnet import wordnet

ALPHA, BETA, GAMMA = 0.9, 3.0, 0.5


class Meteor(MeanMetric):
    """Mean sentence METEOR (Banerjee & Lavie, 2005): exact, stem and WordNet synonym matches.

    NLTK's `single_meteor_score` with alpha 0.9, beta 3, gamma 0.5, as Hugging Face `evaluate`
    calls it. NLTK looks for synonyms of what the stemmer left of a word, so that a synonym such as
    "large", whose stem is "larg", is not found; so it is here. It is not METEOR 1.5, which COCO
    papers report: that is the profile `coco`.
    """

    name: ClassVar[str] = "meteor"
    version: ClassVar[str] = "1"
    outputs: ClassVar[tuple[Output, ...]] = (Output("meteor", "METEOR"),)
    requires: ClassVar[tuple[str, ...]] = ("wordnet",)

    def __init__(self, cleaning: str = "libra") -> None:
        self._cleaning = cleaning
        self._clean = CLEANINGS[cleaning]

    def missing(self) -> list[MissingResourceError]:
        return gaps(wordnet, word_tokeniser)

    def settings(self) -> Mapping[str, str]:
        return {
            "impl": "nltk",
            "alpha": str(ALPHA),
            "beta": str(BETA),
            "gamma": str(GAMMA),
            "tok": "nltk-word_tokenize",
            "sent": word_tokeniser()[0],
            "agg": "mean",
            "clean": self._cleaning,
        }

    def each(self, predictions: Sequence[str], references: Sequence[str]) -> Sequence[float]:
        from nltk.translate.meteor_score import single_meteor_score

        lexicon, stemmer = wordnet(), _Stemmer()
        tokenise = lru_cache(maxsize=65536)(word_tokeniser()[1])
        return [
            single_meteor_score(
                tokenise(self._clean(reference)),
                tokenise(self._clean(prediction)),
                stemmer=stemmer,
                wordnet=lexicon,
                alpha=ALPHA,
                beta=BETA,
                gamma=GAMMA,
            )
            for prediction, reference in zip(predictions, references, strict=True)
        ]


class _Stemmer:
    """Porter's stemmer, each word once."""

    def __init__(self) -> None:
        from nltk.stem.porter import PorterStemmer

        self.stem = lru_cache(maxsize=None)(PorterStemmer().stem)
