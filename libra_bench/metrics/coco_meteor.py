"""METEOR 1.5, as COCO's captioning papers report it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from libra_bench.core.errors import MissingResourceError, RunError
from libra_bench.metrics.base import Metric, Output, PerReport
from libra_bench.metrics.ptb import METEOR_JAR, TOKENIZER_JAR, jar, java, ptb_tokeniser, version
from libra_bench.metrics.resources import gaps
from libra_bench.stats.clusters import Floats

ALPHA, BETA, GAMMA, DELTA = 0.85, 0.2, 0.6, 0.75
STAGES = ("exact", "stem", "synonym", "paraphrase")
WEIGHTS = np.array([1.0, 0.6, 0.8, 0.6])


class CocoMeteor(Metric):
    """Corpus METEOR 1.5 (Denkowski & Lavie, 2014), English, times 100.

    The Java program aligns each pair and tells its counts; the figure of one report and of a
    corpus is the same function of counts and of their sums, with the program's default parameters
    for English (alpha 0.85, beta 0.2, gamma 0.6, delta 0.75).
    """

    name: ClassVar[str] = "meteor"
    version: ClassVar[str] = "1"
    outputs: ClassVar[tuple[Output, ...]] = (Output("meteor", "METEOR 1.5"),)
    statistics: ClassVar[tuple[str, ...]] = (
        "prediction_length",
        "reference_length",
        "prediction_function_words",
        "reference_function_words",
        *(
            f"{stage}_{side}_{kind}"
            for stage in STAGES
            for kind in ("content", "function")
            for side in ("prediction", "reference")
        ),
        "chunks",
        "prediction_matches",
        "reference_matches",
        "reports",
    )
    requires: ClassVar[tuple[str, ...]] = ("java", "pycocoevalcap")

    def missing(self) -> list[MissingResourceError]:
        return gaps(lambda: jar(TOKENIZER_JAR), lambda: jar(METEOR_JAR))

    def settings(self) -> Mapping[str, str]:
        return {"tok": "ptb", "impl": f"meteor-1.5-pycocoevalcap-{version()}", "lang": "en-norm"}

    def compute(self, predictions: Sequence[str], references: Sequence[str]) -> PerReport:
        counts = _aligned(ptb_tokeniser()(predictions), ptb_tokeniser()(references))
        statistics = np.concatenate([counts, np.ones((len(counts), 1))], axis=1)
        return PerReport(statistics, self.finalise(statistics))

    def finalise(self, sums: Floats) -> dict[str, Floats]:
        lengths, function_words = sums[..., 0:2], sums[..., 2:4]
        # [..., stage, content or function, prediction or reference], summed over the stages.
        stages = sums[..., 4:20].reshape(*sums.shape[:-1], 4, 2, 2)
        matches = (stages * WEIGHTS[:, None, None]).sum(axis=-3)
        chunks, found = sums[..., 20], sums[..., 21:23]
        with np.errstate(invalid="ignore", divide="ignore"):
            # Content words weigh delta, function words the rest.
            shares = (DELTA * matches[..., 0, :] + (1 - DELTA) * matches[..., 1, :]) / (
                DELTA * (lengths - function_words) + (1 - DELTA) * function_words
            )
            precision, recall = shares[..., 0], shares[..., 1]
            mean = precision * recall / (ALPHA * precision + (1 - ALPHA) * recall)
            penalty = GAMMA * (chunks / found.mean(axis=-1)) ** BETA
            score = np.where(found[..., 0] > 0, 100 * mean * (1 - penalty), 0.0)
        return {"meteor": np.where(sums[..., 23] > 0, score, np.nan)}


def _aligned(predictions: Sequence[str], references: Sequence[str]) -> Floats:
    """The program's counts for each pair of token strings, [n, 23]."""
    archive = jar(METEOR_JAR)
    lines = [
        f"SCORE ||| {_escaped(reference)} ||| {_escaped(prediction)}"
        for prediction, reference in zip(predictions, references, strict=True)
    ]
    options = ["-Xmx2G", "-jar", archive.name, "-", "-", "-stdio", "-l", "en", "-norm"]
    answers = java(options, lines, archive.parent)[: len(lines)]
    try:
        statistics = np.array([answer.split() for answer in answers], dtype=np.float64)
    except ValueError as error:
        raise RunError(f"METEOR's answer is not a list of counts: {error}") from None
    if statistics.shape != (len(lines), len(CocoMeteor.statistics) - 1):
        raise RunError(f"METEOR answered with an array of shape {statistics.shape}")
    # The program counts no chunk for a pair that is equal, so that equal texts pay no penalty.
    equal = (statistics[:, 20] == 1) & (statistics[:, 21:23] == statistics[:, 0:2]).all(axis=1)
    statistics[equal, 20] = 0.0
    return statistics


def _escaped(tokens: str) -> str:
    """Tokens without the mark that separates the program's fields."""
    return tokens.replace("|||", "").replace("  ", " ")
