"""RadGraph F1 in its variants: RG_E, RG_ER and RG_bar_ER, and the one inside RadCliQ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from libra_bench.core.errors import InputError, MissingResourceError
from libra_bench.metrics.base import MeanMetric, MeansMetric, Output
from libra_bench.metrics.cleaning import CLEANINGS
from libra_bench.metrics.radgraph import rewards
from libra_bench.metrics.radgraph.annotation import Annotator
from libra_bench.metrics.resources import gaps
from libra_bench.stats.clusters import Floats

XL_ARCHIVE = "StanfordAIMI/RRG_scorers/radgraph-xl.tar.gz"
V1_ARCHIVE = "StanfordAIMI/RRG_scorers/radgraph.tar.gz"

_LEVELS = {
    "rg_e": ("RG_E", rewards.entities),
    "rg_er": ("RG_ER", rewards.entities_with_relations),
    "rg_bar_er": ("RG_bar_ER", rewards.complete),
}


def _outputs() -> tuple[Output, ...]:
    return tuple(
        Output(name + suffix, title + kind)
        for suffix, kind in (("", ""), ("_precision", " precision"), ("_recall", " recall"))
        for name, (title, _) in _LEVELS.items()
    )


class RadGraph(MeansMetric):
    """Mean overlap of the entities of two reports (Delbrouck et al., 2022 and 2024).

    RG_E compares entities, RG_ER entities and whether they have relations, RG_bar_ER entities and
    their relations; each is an F1 of sets, given with its precision and recall. Despite a common
    misreading RG_ER is no recall. A pair of which one side has no entity, or no word, scores 0.

    Args:
        archive: a published archive, packed or unpacked: `radgraph-xl`, `modern-radgraph-xl`
            or `radgraph`.
        encoder: folder or name of its encoder's tokenizer and configuration; empty for the name in
            the archive.
        lowercase: `false` to compare words as they are written in RG_E and RG_ER, as
            the package radgraph 0.1.18 does.
        cleaning: of the texts before.
    """

    name: ClassVar[str] = "radgraph"
    version: ClassVar[str] = "2"
    outputs: ClassVar[tuple[Output, ...]] = _outputs()
    statistics: ClassVar[tuple[str, ...]] = (*(output.name for output in _outputs()), "count")
    requires: ClassVar[tuple[str, ...]] = ("weights",)

    def __init__(
        self,
        archive: str = XL_ARCHIVE,
        encoder: str = "",
        lowercase: str = "true",
        cleaning: str = "none",
    ) -> None:
        if lowercase not in ("true", "false"):
            raise InputError(f"radgraph.lowercase: true or false was expected, not {lowercase!r}")
        self._annotator = Annotator(archive, encoder)
        self._name = str.lower if lowercase == "true" else str
        self._cleaning = cleaning
        self._clean = CLEANINGS[cleaning]

    def missing(self) -> list[MissingResourceError]:
        return gaps(self._annotator.check)

    def settings(self) -> Mapping[str, str]:
        return {
            "annotator": self._annotator.dataset,
            "weights": self._annotator.fingerprint,
            "case": "lower" if self._name is str.lower else "as written",
            "agg": "mean",
            "clean": self._cleaning,
        }

    def rows(self, predictions: Sequence[str], references: Sequence[str]) -> Floats:
        hypotheses, truths = self._annotator.read_both(
            [self._clean(text) for text in predictions], [self._clean(text) for text in references]
        )
        figures = [
            [
                rewards.overlap(facts(hypothesis, self._name), facts(truth, self._name))
                for _, facts in _LEVELS.values()
            ]
            for hypothesis, truth in zip(hypotheses, truths, strict=True)
        ]
        # [m, levels, (precision, recall, F1)] to the order of the outputs: F1 first.
        by_kind = np.array(figures, dtype=np.float64)[:, :, [2, 0, 1]]
        return by_kind.transpose(0, 2, 1).reshape(len(figures), -1)


class RadGraphV1(MeanMetric):
    """Mean of (entity F1 + relation F1) / 2, as RadCliQ and ReXrank have it (Yu et al., 2023).

    An entity is its words and its label, a relation its two entities and its label.

    Args:
        archive, encoder, cleaning: as of `RadGraph`.
    """

    name: ClassVar[str] = "radgraph"
    version: ClassVar[str] = "2"
    outputs: ClassVar[tuple[Output, ...]] = (Output("radgraph", "RadGraph F1"),)
    requires: ClassVar[tuple[str, ...]] = ("weights",)

    def __init__(
        self, archive: str = V1_ARCHIVE, encoder: str = "", cleaning: str = "none"
    ) -> None:
        self._annotator = Annotator(archive, encoder)
        self._cleaning = cleaning
        self._clean = CLEANINGS[cleaning]

    def missing(self) -> list[MissingResourceError]:
        return gaps(self._annotator.check)

    def settings(self) -> Mapping[str, str]:
        return {
            "annotator": self._annotator.dataset,
            "weights": self._annotator.fingerprint,
            "figure": "(entity f1 + relation f1) / 2",
            "agg": "mean",
            "clean": self._cleaning,
        }

    def each(self, predictions: Sequence[str], references: Sequence[str]) -> Sequence[float]:
        hypotheses, truths = self._annotator.read_both(
            [self._clean(text) for text in predictions], [self._clean(text) for text in references]
        )
        return [
            (
                rewards.overlap(rewards.entities(one), rewards.entities(other)).f1
                + rewards.overlap(rewards.relations(one), rewards.relations(other)).f1
            )
            / 2
            for one, other in zip(hypotheses, truths, strict=True)
        ]
