"""Paired tests of two systems on the same reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from libra_bench.stats.bootstrap import over_clusters
from libra_bench.stats.clusters import Floats, cluster_sums, scored_rows
from libra_bench.stats.resampling import CHUNK, Finalise


@dataclass(frozen=True)
class Difference:
    """How much one figure of two systems differs, second minus first."""

    first: float
    second: float
    low: float
    high: float
    """Interval of the difference, by the paired bootstrap over clusters."""
    p: float
    """Two-sided, by approximate randomisation: (c + 1) / (trials + 1), as sacrebleu has it."""

    @property
    def difference(self) -> float:
        """Second minus first."""
        return self.second - self.first


def differences(
    first: Floats,
    second: Floats,
    finalise: Finalise,
    clusters: Sequence[str],
    *,
    trials: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Difference]:
    """Compare two systems, figure by figure.

    Rows that either system left unscored are left out of both.

    Args:
        first, second: [n, k] statistics of the same n reports.
        clusters: [n] patients; they are resampled and exchanged whole.

    Raises:
        ValueError: the shapes differ.
    """
    if first.shape != second.shape:
        raise ValueError(f"statistics of shapes {first.shape} and {second.shape}")
    known = scored_rows(first) & scored_rows(second)
    chosen = [cluster for cluster, keep in zip(clusters, known, strict=True) if keep]
    a, b = cluster_sums(first[known], chosen), cluster_sums(second[known], chosen)
    one, two = finalise(a.sum(axis=0)), finalise(b.sum(axis=0))
    if len(a) < 2:
        nan = float("nan")
        return {name: Difference(float(one[name]), float(two[name]), *[nan] * 3) for name in one}
    width = a.shape[1]

    def gap(sums: Floats) -> dict[str, Floats]:
        here, there = finalise(sums[..., :width]), finalise(sums[..., width:])
        with np.errstate(invalid="ignore"):
            return {name: there[name] - here[name] for name in here}

    bounds = over_clusters(
        np.concatenate([a, b], axis=1), gap, trials=trials, seed=seed, level=level
    )
    exchanged_one, exchanged_two = map(finalise, exchanged(a, b, trials, seed))
    return {
        name: Difference(
            float(one[name]),
            float(two[name]),
            *bounds[name],
            p=_p_value(
                exchanged_two[name] - exchanged_one[name], float(two[name]) - float(one[name])
            ),
        )
        for name in one
    }


def _p_value(by_chance: Floats, observed: float) -> float:
    """(c + 1) / (trials + 1), where c of the trials' differences are as large as the observed."""
    if np.isnan(observed):
        return float("nan")
    # The tolerance lets exact ties count as ties whatever the order of summation was; a trial
    # that gives no figure counts against significance.
    smaller = int((np.abs(by_chance) < abs(observed) - 1e-9).sum())
    return (len(by_chance) - smaller + 1) / (len(by_chance) + 1)


def exchanged(a: Floats, b: Floats, trials: int, seed: int) -> tuple[Floats, Floats]:
    """Sums after each cluster's results were exchanged between the systems by a coin.

    Args:
        a, b: [c, k] sums by cluster.

    Returns:
        [trials, k] of the first system, and of the second.
    """
    # Another stream than the bootstrap's, so that the two do not share their draws.
    rng = np.random.default_rng([seed, 1])
    gap, total_a, total_b = b - a, a.sum(axis=0), b.sum(axis=0)
    moved = []
    for start in range(0, trials, CHUNK):
        coins = rng.integers(0, 2, size=(min(CHUNK, trials - start), len(a)), dtype=np.int8)
        moved.append(coins.astype(np.float64) @ gap)
    shift = np.concatenate(moved)
    return total_a + shift, total_b - shift
