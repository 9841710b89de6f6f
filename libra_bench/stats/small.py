"""Intervals from few clusters, where the percentile bootstrap is too narrow.

With five patients a percentile interval that promises 95 % covers 70 to 85 %
(`benchmarks/coverage.py`). Two things are missing there: the spread of few clusters is itself
uncertain, and a skewed figure needs an interval longer on one side. The studentised bootstrap
(Efron & Tibshirani, 1993, chapter 12.5) has both, but breaks down where many resamples show no
spread at all, as with rare events; there the t interval on the jackknife's standard error bounds it
from within.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from libra_bench.stats.clusters import Floats
from libra_bench.stats.resampling import Finalise, counts_by_trial

EQUAL = 1e-12
"""Spread, relative to the figure, that is only rounding."""


@dataclass(frozen=True)
class Pivot:
    """How far resampled figures lie from the figure, in standard errors."""

    estimate: float
    error: float
    """The jackknife's standard error over clusters."""
    ratios: Floats
    """[trials] of the studentised bootstrap; infinite where a resample has no spread."""
    degrees: int
    """Of freedom: clusters less one."""

    def interval(self, level: float) -> tuple[float, float]:
        """The outer ends of the studentised bootstrap's and of the t interval; NaN if undefined."""
        from scipy.stats import t as student

        known = self._known()
        if np.isnan(self.error) or np.isnan(known).any():
            return float("nan"), float("nan")
        if self._constant():
            return self.estimate, self.estimate
        tail = (1 - level) / 2
        far = float(student.ppf(1 - tail, self.degrees))
        below, above = far, far
        if self._enough(known):
            low, high = np.quantile(known, [tail, 1 - tail])
            below, above = max(far, float(high)), max(far, -float(low))
        return self.estimate - below * self.error, self.estimate + above * self.error

    def p_below(self, bound: float) -> float:
        """One-sided p of the figure being below `bound`: the larger of the two methods'.

        1 where the interval would be undefined; 0 or 1 where all clusters agree.
        """
        from scipy.stats import t as student

        known = self._known()
        if np.isnan(self.error) or np.isnan(known).any():
            return 1.0
        if self._constant():
            return float(self.estimate >= bound - EQUAL * max(1.0, abs(bound)))
        distance = (self.estimate - bound) / self.error
        p = float(student.cdf(distance, self.degrees))
        if self._enough(known):
            p = max(p, (1 + int((known <= distance).sum())) / (1 + len(known)))
        return p

    def turned(self, side: float) -> Pivot:
        """Of the figure times `side`, which is 1 or -1."""
        # What is infinite has no side: it says only that there was no spread.
        ratios = np.where(np.isinf(self.ratios), np.inf, side * self.ratios)
        return replace(self, estimate=side * self.estimate, ratios=ratios)

    def _known(self) -> Floats:
        return self.ratios[~np.isinf(self.ratios)]

    def _enough(self, known: Floats) -> bool:
        return len(known) > len(self.ratios) / 2

    def _constant(self) -> bool:
        return self.error <= EQUAL * max(1.0, abs(self.estimate))


def studentised(
    sums: Floats, finalise: Finalise, *, trials: int, seed: int, level: float
) -> dict[str, tuple[float, float]]:
    """Intervals of the figures over c clusters, c small: [c, k] sums of statistics by cluster.

    Each end is the outer one of the studentised bootstrap's and of the t interval with c - 1
    degrees of freedom; both use the jackknife's standard error over clusters. NaN where a figure
    is NaN with one cluster left out, or in a resample.
    """
    found = pivots(sums, finalise, trials=trials, seed=seed)
    return {name: pivot.interval(level) for name, pivot in found.items()}


def pivots(sums: Floats, finalise: Finalise, *, trials: int, seed: int) -> dict[str, Pivot]:
    """The studentised bootstrap of each figure over c clusters: [c, k] sums by cluster."""
    count = len(sums)
    estimate = finalise(sums.sum(axis=0))
    errors = _jackknife(finalise, np.ones((1, count)), sums)
    ratios: dict[str, list[Floats]] = {name: [] for name in estimate}
    for counts in counts_by_trial(count, trials, seed):
        resampled = finalise(counts @ sums)
        spread = _jackknife(finalise, counts, sums)
        for name, parts in ratios.items():
            with np.errstate(invalid="ignore", divide="ignore"):
                ratio = (resampled[name] - estimate[name]) / spread[name]
            # A resample without spread says nothing of how far the figure lies in spreads.
            ratio[spread[name] <= EQUAL * np.maximum(1.0, np.abs(resampled[name]))] = np.inf
            parts.append(ratio)
    return {
        name: Pivot(
            float(estimate[name]), float(errors[name][0]), np.concatenate(parts), count - 1
        )
        for name, parts in ratios.items()
    }


def _jackknife(finalise: Finalise, counts: Floats, sums: Floats) -> dict[str, Floats]:
    """The jackknife's standard error of each figure in each resample.

    Args:
        counts: [trials, c] how often each cluster was drawn; c draws in each.
        sums: [c, k].

    Returns:
        [trials] by figure: sqrt((c - 1) / c * sum of squared deviations of the c figures that
        leave one draw out).
    """
    drawn = counts.sum(axis=1, keepdims=True)
    totals = counts @ sums
    without = finalise(totals[:, None, :] - sums[None, :, :])
    errors = {}
    for name, figures in without.items():
        # What was not drawn cannot be left out; its figure is of no resample.
        own = np.where(counts > 0, figures, 0.0)
        mean = (counts * own).sum(axis=1, keepdims=True) / drawn
        squares = (counts * np.where(counts > 0, (figures - mean) ** 2, 0.0)).sum(axis=1)
        errors[name] = np.sqrt((drawn[:, 0] - 1) / drawn[:, 0] * squares)
    return errors
