"""Intervals by the bootstrap over clusters (Efron & Tibshirani, 1993), on sums of statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from libra_bench.stats.clusters import Floats, cluster_sums, scored_rows
from libra_bench.stats.resampling import Finalise, replicates
from libra_bench.stats.small import studentised

FEW = 50
"""Below so many clusters the percentile interval is too narrow (`benchmarks/coverage.py`)."""


def method(clusters: int) -> str:
    """How an interval over so many clusters is made, in words for records and pages."""
    if clusters < 2:
        return "none"
    return "studentised bootstrap" if clusters < FEW else "percentile bootstrap"


def intervals(
    statistics: Floats,
    finalise: Finalise,
    clusters: Sequence[str],
    *,
    trials: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Mapping[str, tuple[float, float]]:
    """Intervals of the figures that `finalise` gives.

    Args:
        statistics: [n, k]; rows with NaN are left out.
        clusters: [n] the patient of each row.
        level: coverage, for example 0.95.

    Returns:
        (low, high) by figure; NaN where there is nothing to resample: no scored row, or a
        single cluster, whose variation cannot be seen.
    """
    scored = scored_rows(statistics)
    chosen = [cluster for cluster, known in zip(clusters, scored, strict=True) if known]
    sums = cluster_sums(statistics[scored], chosen)
    return over_clusters(sums, finalise, trials=trials, seed=seed, level=level)


def over_clusters(
    sums: Floats, finalise: Finalise, *, trials: int, seed: int, level: float
) -> Mapping[str, tuple[float, float]]:
    """Intervals of figures from the sums [c, k] of c clusters, by the method that fits c."""
    if len(sums) < 2:
        names = list(finalise(np.zeros(sums.shape[1])))
        return dict.fromkeys(names, (float("nan"), float("nan")))
    if len(sums) < FEW:
        return studentised(sums, finalise, trials=trials, seed=seed, level=level)
    figures = finalise(replicates(sums, trials, seed))
    return {name: percentiles(values, level) for name, values in figures.items()}


def percentiles(figures: Floats, level: float) -> tuple[float, float]:
    """The central `level` share of replicates [trials]; NaN where some of them is no figure."""
    if np.isnan(figures).any():
        return float("nan"), float("nan")
    tail = (1 - level) / 2
    low, high = np.quantile(figures, [tail, 1 - tail])
    return float(low), float(high)
