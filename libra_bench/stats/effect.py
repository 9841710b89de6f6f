"""Effect sizes: how large a difference is, where a p-value only says whether there is one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from libra_bench.stats.clusters import Floats


@dataclass(frozen=True)
class Effect:
    """How two systems differ report by report, second against first."""

    standardised: float
    """Cohen's d for paired samples, d_z: mean over standard deviation of the reports' differences;
    NaN below two reports, 0 where all are equal, infinite where all differ by the same amount."""
    superiority: float
    """Share of reports on which the second figure is larger, ties counted half."""


def paired_effect(first: Floats, second: Floats) -> Effect:
    """The effect between the same n reports' figures [n] under two systems.

    Reports that either left unscored (NaN) are left out.

    Raises:
        ValueError: the lengths differ.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} figures for {len(second)}")
    gaps = second - first
    gaps = gaps[~np.isnan(gaps)]
    if len(gaps) < 2:
        return Effect(float("nan"), float("nan"))
    mean, spread = float(gaps.mean()), float(gaps.std(ddof=1))
    # Equal differences leave only rounding in the spread.
    if spread <= 1e-12 * max(1.0, abs(mean)):
        standardised = 0.0 if abs(mean) <= 1e-12 else float(np.copysign(np.inf, mean))
    else:
        standardised = mean / spread
    return Effect(standardised, float(((gaps > 0) + 0.5 * (gaps == 0)).mean()))
