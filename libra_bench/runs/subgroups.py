"""Figures for parts of a cohort: with and without a prior image, by view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from libra_bench.metrics.base import Metric, PerReport

COLUMNS = ("has_prior", "view")
SMALLEST = 5
"""Below this many reports a group's figure says nothing, and none is given."""


def by_subgroup(
    frame: pd.DataFrame,
    clusters: Sequence[str],
    reports: dict[str, PerReport],
    metrics: Sequence[Metric],
    *,
    trials: int,
    seed: int,
    level: float,
) -> list[dict[str, Any]]:
    """Figures with intervals for each value of each column that splits the cohort.

    Args:
        frame: a row a report, with the columns that may split it.
        clusters: [n] patients, resampled whole.
        reports: each metric's statistics.
    """
