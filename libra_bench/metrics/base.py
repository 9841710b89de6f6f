"""What a metric is: statistics for each report first, the figure second.

A metric turns each pair of texts into a row of *sufficient statistics*, and the sum of any set of
rows into its figures. Corpus figures (BLEU), ratios (micro F1) and plain means are all functions
of such sums, so a bootstrap resamples rows and never tokenises again: with resampling counts
`W` [trials, n] and statistics `S` [n, k] all replicates are `finalise(W @ S)`.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from libra_bench.core.errors import MissingResourceError
from libra_bench.metrics.signatures import RESERVED, signature_from
from libra_bench.stats.clusters import Floats, scored_rows

_HALVES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Output:
    """One figure of a metric, for example `bleu4` of `bleu`."""

    name: str
    title: str
    """As papers print it: BLEU-4."""
    higher_is_better: bool = True
    low: float = 0.0
    high: float = 100.0
    of_some: bool = False
    """Whether it is a figure of some of the scored reports: those whose own value is not NaN."""

    def within(self, low: float, high: float) -> tuple[float, float]:
        """The ends of an interval, cut to what the figure can be; NaN stays NaN."""
        return float(np.clip(low, self.low, self.high)), float(np.clip(high, self.low, self.high))


@dataclass(frozen=True)
class PerReport:
    """A metric's result for n reports.

    Attributes:
        statistics: [n, k] sufficient statistics; a row of NaN where a report was not scored.
        values: for each output name the reports' own figures [n], on the scale of the output;
            NaN where not scored.
    """

    statistics: Floats
    values: Mapping[str, Floats]

    @property
    def scored(self) -> NDArray[np.bool_]:
        """[n], whether each report was scored."""
        return scored_rows(self.statistics)

    def of(self, rows: NDArray[np.bool_]) -> PerReport:
        """The reports where `rows` [n] is true."""
        return PerReport(
            self.statistics[rows], {name: values[rows] for name, values in self.values.items()}
        )

    def behind(self, output: Output) -> NDArray[np.bool_]:
        """[n], whether each report is one that the figure is made of."""
        return ~np.isnan(self.values[output.name]) if output.of_some else self.scored

    @property
    def unscored(self) -> int:
        """How many reports could not be scored."""
        return int((~self.scored).sum())

    def sums(self, weights: Floats | None = None) -> Floats:
        """Statistics summed over scored reports: [k], or [trials, k] for weights [trials, n]."""
        known = np.where(self.scored[:, None], self.statistics, 0.0)
        return known.sum(axis=0) if weights is None else np.asarray(weights @ known)


class Metric(ABC):
    """Base class. A subclass is one file, one line in the registry and one golden test.

    A report is unscored, never zero, where the prediction is missing (None: its generation
    failed) or the reference is missing or blank (there is nothing to compare with). An empty
    prediction was delivered and is scored.
    """

    name: ClassVar[str]
    """Registry name."""
    version: ClassVar[str]
    """Raised whenever a figure may change; part of the signature."""
    outputs: ClassVar[tuple[Output, ...]]
    statistics: ClassVar[tuple[str, ...]]
    """Names of the k statistics, as columns of `scores.parquet`."""
    requires: ClassVar[tuple[str, ...]] = ()
    """What must be there, for `metrics` and `doctor` to list: `wordnet`, `java`, `weights` ..."""

    def missing(self) -> list[MissingResourceError]:
        """Everything that scoring needs and that is not here, found without loading weights."""
        return []

    def gap(self) -> MissingResourceError | None:
        """All that is missing as one, with one command; None where nothing is.

        `libra-bench fetch` knows a metric's published parts by the metric's name.
        """
        found = self.missing()
        if not found:
            return None
        what = "; ".join(dict.fromkeys(gap.what for gap in found))
        other = "; ".join(dict.fromkeys(gap.otherwise for gap in found if not gap.fetch)) or None
        fetched = list(dict.fromkeys(gap.fetch for gap in found if gap.fetch))
        if not fetched:
            return MissingResourceError(what, str(other))
        otherwise = "; ".join(dict.fromkeys(gap.otherwise for gap in found if gap.fetch))
        usual = {gap.fetch for gap in self.as_published().missing()}
        command = self.name if usual.issuperset(fetched) else " ".join(fetched)
        return MissingResourceError(what, otherwise, command, other)

    def as_published(self) -> Metric:
        """This metric with nothing set by a user."""
        return type(self)()

    def check(self) -> None:
        """Find everything that scoring needs.

        Raises:
            MissingResourceError: all that is missing, and how to get it.
        """
        gap = self.gap()
        if gap is not None:
            raise gap

    @abstractmethod
    def settings(self) -> Mapping[str, str]:
        """What the figures depend on beside the texts: tokeniser, cleaning, weights, layer ..."""

    @abstractmethod
    def compute(self, predictions: Sequence[str], references: Sequence[str]) -> PerReport:
        """Statistics of m pairs of texts, none of them missing."""

    @abstractmethod
    def finalise(self, sums: Floats) -> dict[str, Floats]:
        """Figures from summed statistics: [..., k] gives [...] for each output name.

        A figure without any report behind it is NaN.
        """

    def score(
        self, predictions: Sequence[str | None], references: Sequence[str | None]
    ) -> PerReport:
        """Score n pairs; row i of the result belongs to pair i whatever could not be scored.

        Raises:
            ValueError: the two sequences differ in length.
        """
        if len(predictions) != len(references):
            raise ValueError(f"{len(predictions)} predictions for {len(references)} references")
        pairs = [
            (row, prediction, reference)
            for row, (prediction, reference) in enumerate(zip(predictions, references, strict=True))
            if prediction is not None and reference is not None and reference.strip()
        ]
        statistics = np.full((len(predictions), len(self.statistics)), np.nan)
        values = {output.name: np.full(len(predictions), np.nan) for output in self.outputs}
        if pairs:
            part = self.compute(
                [_whole(pair[1]) for pair in pairs], [_whole(pair[2]) for pair in pairs]
            )
            rows = [pair[0] for pair in pairs]
            statistics[rows] = part.statistics
            for name, column in part.values.items():
                values[name][rows] = column
        return PerReport(statistics, values)

    def aggregate(self, report: PerReport, weights: Floats | None = None) -> dict[str, Floats]:
        """The figures over all scored reports; for weights [trials, n] one figure a trial."""
        return self.finalise(report.sums(weights))

    def signature(self, n: int) -> str:
        """Everything that the figure depends on, in one line, after sacrebleu's manner.

        Raises:
            ValueError: a setting has a name that stands in every signature.
        """
        settings = self.settings()
        if taken := set(settings).intersection(RESERVED):
            raise ValueError(f"{self.name}: {', '.join(sorted(taken))} cannot name a setting")
        return signature_from({"metric": self.name, "version": self.version, **settings, "n": n})


def _whole(text: str) -> str:
    """The text with U+FFFD for each half of a character, which no tokeniser takes."""
    return _HALVES.sub("\ufffd", text)


class MeansMetric(Metric):
    """A metric whose corpus figures are the means of its reports' figures.

    Its statistics are the figures, in the order of its outputs, and a count.
    """

    scale: ClassVar[float] = 100.0

    @abstractmethod
    def rows(self, predictions: Sequence[str], references: Sequence[str]) -> Floats:
        """Figures [m, outputs], on the published scale; a row of NaN cannot be scored."""

    def compute(self, predictions: Sequence[str], references: Sequence[str]) -> PerReport:
        values = np.asarray(self.rows(predictions, references), dtype=np.float64) * self.scale
        counts = np.where(np.isnan(values).any(axis=1), np.nan, 1.0)
        columns = {output.name: values[:, place] for place, output in enumerate(self.outputs)}
        return PerReport(np.column_stack([values, counts]), columns)

    def finalise(self, sums: Floats) -> dict[str, Floats]:
        count = sums[..., -1]
        with np.errstate(invalid="ignore", divide="ignore"):
            means = np.where(count[..., None] > 0, sums[..., :-1] / count[..., None], np.nan)
        return {output.name: means[..., place] for place, output in enumerate(self.outputs)}


class MeanMetric(MeansMetric):
    """A metric with a single figure, the mean of its reports' figures."""

    statistics: ClassVar[tuple[str, ...]] = ("value", "count")

    @abstractmethod
    def each(self, predictions: Sequence[str], references: Sequence[str]) -> Sequence[float]:
        """One figure a pair, on the published scale; NaN where the pair cannot be scored."""

    def rows(self, predictions: Sequence[str], references: Sequence[str]) -> Floats:
        return np.asarray(self.each(predictions, references), dtype=np.float64)[:, None]
