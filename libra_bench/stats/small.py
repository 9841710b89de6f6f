"""Intervals from few clusters, where the percentile bootstrap is too narrow.

With five patients a percentile interval that promises 95 % covers 70 to 85 %
(`benchmarks/coverage.py`). Two things are missing there: the spread of few clusters is itself
uncertain, and a skewed figure needs an interval longer on one side. The studentised bootstrap
(Efron & Tibshirani, 1993, chapter 12.5) has both, but breaks down where many resamples show no
spread at all, as with rare events; there the t interval on the jackknife's standard error bounds it
from within.
"""

from __future__ import annotations

import numpy as np

from libra_bench.stats.clusters import Floats
from libra_bench.stats.resampling import Finalise, counts_by_trial

EQUAL = 1e-12
"""Spread, relative to the figure, that is only rounding."""


def studentised(
    sums: Floats, finalise: Finalise, *, trials: int, seed: int, level: float
) -> dict[str, tuple[float, float]]:
    """Intervals of the figures over c clusters, c small: [c, k] sums of statistics by cluster.

    Each end is the outer one of the studentised bootstrap's and of the t interval with c - 1
    degrees of freedom; both use the jackknife's standard error over clusters. NaN where a figure
    is NaN with one cluster left out, or in a resample.
    """
    from scipy.stats import t as student

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
    tail = (1 - level) / 2
    far = float(student.ppf(1 - tail, count - 1))
    return {
        name: _ends(
            float(estimate[name]), float(errors[name][0]), np.concatenate(ratios[name]), far, tail
        )
        for name in estimate
    }


def _ends(
    estimate: float, error: float, ratios: Floats, far: float, tail: float
) -> tuple[float, float]:
    known = ratios[~np.isinf(ratios)]
    if np.isnan(error) or np.isnan(known).any():
        return float("nan"), float("nan")
    if error <= EQUAL * max(1.0, abs(estimate)):
        return estimate, estimate
    below, above = far, far
    if len(known) > len(ratios) / 2:
        low, high = np.quantile(known, [tail, 1 - tail])
        below, above = max(far, float(high)), max(far, -float(low))
    return estimate - below * error, estimate + above * error


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
