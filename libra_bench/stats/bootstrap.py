"""The bootstrap over clusters (Efron & Tibshirani, 1993), on sums of sufficient statistics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from libra_bench.stats.clusters import Floats, cluster_sums, scored_rows

Finalise = Callable[[Floats], dict[str, Floats]]
"""From summed statistics [..., k] to figures [...] by name."""

CHUNK = 512
"""Trials at a time; bounds the memory of the resampling counts."""


def replicates(sums: Floats, trials: int, seed: int) -> Floats:
    """Sums over resampled clusters.

    Args:
        sums: [c, k] statistics by cluster.

    Returns:
        [trials, k], each row the sum over c clusters drawn with replacement. The same seed and
        number of clusters give the same draws whatever k is.
    """
    rng = np.random.default_rng(seed)
    count = len(sums)
    parts = []
    for start in range(0, trials, CHUNK):
        size = min(CHUNK, trials - start)
        # Counting drawn indices costs a fifth of drawing multinomial counts, to the same effect.
        drawn = rng.integers(0, count, size=(size, count))
        drawn += np.arange(size)[:, None] * count
        counts = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count)
        parts.append(counts.astype(np.float64) @ sums)
    return np.concatenate(parts)


def intervals(
    statistics: Floats,
    finalise: Finalise,
    clusters: Sequence[str],
    *,
    trials: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Mapping[str, tuple[float, float]]:
    """Percentile intervals of the figures that `finalise` gives.

    Args:
        statistics: [n, k]; rows with NaN are left out.
        clusters: [n] the patient of each row.
        level: coverage, for example 0.95.

    Returns:
        (low, high) by figure; NaN where there is nothing to resample: no scored row, or a
        single cluster, whose variation cannot be seen.
    """
    scored = scored_rows(statistics)
    names = list(finalise(np.zeros(statistics.shape[1])))
    chosen = [cluster for cluster, known in zip(clusters, scored, strict=True) if known]
    sums = cluster_sums(statistics[scored], chosen)
    if len(sums) < 2:
        return dict.fromkeys(names, (float("nan"), float("nan")))
    figures = finalise(replicates(sums, trials, seed))
    return {name: percentiles(figures[name], level) for name in names}


def percentiles(figures: Floats, level: float) -> tuple[float, float]:
    """The central `level` share of replicates [trials]; NaN where some of them is no figure."""
    if np.isnan(figures).any():
        return float("nan"), float("nan")
    tail = (1 - level) / 2
    low, high = np.quantile(figures, [tail, 1 - tail])
    return float(low), float(high)
