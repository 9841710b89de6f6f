"""Paired tests of two systems on the same reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from libra_bench.stats.bootstrap import CHUNK, Finalise, percentiles, replicates
from libra_bench.stats.clusters import Floats, cluster_sums, scored_rows


@dataclass(frozen=True)
class Difference:
    """How much one figure of two systems differs, second minus first."""

    first: float
    second: float
    low: float
    high: float
    """Percentile interval of the difference, by the paired bootstrap."""
    p: float
    """Two-sided, by approximate randomisation: (c + 1) / (trials + 1), as sacrebleu has it."""
    p_bootstrap: float
    """Two-sided, by the paired bootstrap: how often a resampled difference lies as far from the
    observed one as that lies from zero (Koehn, 2004, in sacrebleu's two-sided form)."""

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
        return {name: Difference(float(one[name]), float(two[name]), *[nan] * 4) for name in one}
    width = a.shape[1]
    both = replicates(np.concatenate([a, b], axis=1), trials, seed)
    resampled_one, resampled_two = finalise(both[:, :width]), finalise(both[:, width:])
    exchanged_one, exchanged_two = _exchanged(a, b, finalise, trials, seed)
    result = {}
    for name in one:
        spread = resampled_two[name] - resampled_one[name]
        by_chance = exchanged_two[name] - exchanged_one[name]
        observed = float(two[name]) - float(one[name])
        low, high = percentiles(spread, level)
        result[name] = Difference(
            float(one[name]),
            float(two[name]),
            low,
            high,
            p=_p_value(by_chance, observed),
            p_bootstrap=_p_value(spread - observed, observed),
        )
    return result


def _p_value(by_chance: Floats, observed: float) -> float:
    """(c + 1) / (trials + 1), where c of the trials' differences are as large as the observed."""
    if np.isnan(observed):
        return float("nan")
    # The tolerance lets exact ties count as ties whatever the order of summation was; a trial
    # that gives no figure counts against significance.
    smaller = int((np.abs(by_chance) < abs(observed) - 1e-9).sum())
    return (len(by_chance) - smaller + 1) / (len(by_chance) + 1)


def _exchanged(
    a: Floats, b: Floats, finalise: Finalise, trials: int, seed: int
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Figures after each cluster's results were exchanged between the systems by a coin."""
    # Another stream than the bootstrap's, so that the two do not share their draws.
    rng = np.random.default_rng([seed, 1])
    gap, total_a, total_b = b - a, a.sum(axis=0), b.sum(axis=0)
    moved = []
    for start in range(0, trials, CHUNK):
        coins = rng.integers(0, 2, size=(min(CHUNK, trials - start), len(a)), dtype=np.int8)
        moved.append(coins.astype(np.float64) @ gap)
    shift = np.concatenate(moved)
    return finalise(total_a + shift), finalise(total_b - shift)
