"""Did a figure change on these reports, beyond a margin? One-sided tests by exchange of clusters.

The test asks what a gate asks: could two runs that are equally good differ by so much on *these*
reports? The clusters' results are exchanged between the runs by coins; that is exact for every
figure where the runs do not differ, also for few clusters and for corpus figures with a kink, such
as BLEU's brevity penalty. The bootstrap asks another question, of the difference on other reports:
its replicates cross the kink and hide falls that every exchange shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from libra_bench.stats.bootstrap import FEW
from libra_bench.stats.clusters import Floats, cluster_sums, scored_rows
from libra_bench.stats.paired import exchanged
from libra_bench.stats.resampling import Finalise
from libra_bench.stats.small import studentised

EQUAL = 1e-9
"""Differences that are only the order of summation."""


@dataclass(frozen=True)
class Change:
    """How one figure of two systems differs, second minus first, over the same reports."""

    first: float
    second: float
    low: float
    high: float
    """Interval of the difference."""
    error: float
    """Standard deviation of the difference that chance alone makes."""
    p_worse: float
    """One-sided p of "worse by more than the margin"; 1 where no test is possible."""
    p_better: float
    """The same of "better by more than the margin"."""

    @property
    def difference(self) -> float:
        """Second minus first."""
        return self.second - self.first


def changes(
    first: Floats,
    second: Floats,
    finalise: Finalise,
    clusters: Sequence[str],
    *,
    higher_is_better: Mapping[str, bool],
    margins: Mapping[str, float],
    trials: int,
    seed: int,
    level: float,
) -> dict[str, Change]:
    """Test each figure for a change beyond its margin, to both sides.

    The p-value is the share of exchanges that differ at least as much as the observed difference
    does from the margin, (c + 1) / (trials + 1). The interval holds the differences that the same
    test would not reject at `level`; below `FEW` clusters, where few exchanges are possible, its
    ends are the outer ones of these and of the studentised bootstrap's.

    Args:
        first, second: [n, k] statistics of the same n reports; a report that either side left
            unscored (NaN) is left out.
        clusters: [n] patients, exchanged whole.
        margins: by figure; 0 where a figure is not named.
        level: of the two-sided interval.

    Raises:
        ValueError: the shapes differ, or fewer than two clusters.
    """
    if first.shape != second.shape:
        raise ValueError(f"statistics of shapes {first.shape} and {second.shape}")
    known = scored_rows(first) & scored_rows(second)
    chosen = [cluster for cluster, keep in zip(clusters, known, strict=True) if keep]
    a, b = cluster_sums(first[known], chosen), cluster_sums(second[known], chosen)
    if len(a) < 2:
        raise ValueError(f"{len(a)} clusters: two or more were expected")
    one, two = finalise(a.sum(axis=0)), finalise(b.sum(axis=0))
    width = a.shape[1]

    def gap(sums: Floats) -> dict[str, Floats]:
        here, there = finalise(sums[..., :width]), finalise(sums[..., width:])
        with np.errstate(invalid="ignore"):
            return {name: there[name] - here[name] for name in here}

    by_chance = gap(np.concatenate(exchanged(a, b, trials, seed), axis=1))
    outer = (
        studentised(
            np.concatenate([a, b], axis=1), gap, trials=min(trials, 1000), seed=seed, level=level
        )
        if len(a) < FEW
        else {}
    )
    found = {}
    for name in one:
        chance, difference = by_chance[name], float(two[name]) - float(one[name])
        low, high = _interval(chance, difference, level)
        # What no exchange moves is unchanged, also where resamples have too few for a figure.
        if name in outer and not float(np.ptp(chance)) <= EQUAL:
            low, high = np.minimum(low, outer[name][0]), np.maximum(high, outer[name][1])
        side, margin = (1.0 if higher_is_better[name] else -1.0), margins.get(name, 0.0)
        found[name] = Change(
            first=float(one[name]),
            second=float(two[name]),
            low=float(low),
            high=float(high),
            error=float(np.std(chance)),
            p_worse=_p_value(side * chance, side * difference + margin),
            p_better=_p_value(-side * chance, -side * difference + margin),
        )
    return found


def _p_value(by_chance: Floats, observed: float) -> float:
    """(c + 1) / (trials + 1), where c of the trials' differences are as low as the observed."""
    if np.isnan(observed):
        return 1.0
    # A trial that gives no figure counts against significance.
    higher = int((by_chance > observed + EQUAL).sum())
    return (len(by_chance) - higher + 1) / (len(by_chance) + 1)


def _interval(by_chance: Floats, difference: float, level: float) -> tuple[float, float]:
    if np.isnan(by_chance).any():
        return float("nan"), float("nan")
    tail = (1 - level) / 2
    low, high = np.quantile(by_chance, [tail, 1 - tail])
    return difference - float(high), difference - float(low)
