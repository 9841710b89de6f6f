"""Figures for parts of a cohort: with and without a prior image, by view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from libra_bench.metrics.base import Metric, PerReport
from libra_bench.stats.bootstrap import intervals

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("has_prior", "view")
SMALLEST = 5
"""A group of fewer reports says nothing, and is not shown."""


def by_subgroup(
    frame: pd.DataFrame,
    clusters: Sequence[str],
    reports: Mapping[str, PerReport],
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
        reports: each metric's statistics by its name.
    """
    patients = np.asarray(clusters, dtype=object)
    rows = []
    for column in COLUMNS:
        values = frame[column].dropna()
        if values.nunique() < 2:
            continue
        for value in sorted(values.unique(), key=str):
            chosen = (frame[column] == value).to_numpy()
            if chosen.sum() < SMALLEST:
                continue
            figures: dict[str, Any] = {}
            for metric in metrics:
                if metric.name not in reports:
                    continue
                part = reports[metric.name].statistics[chosen]
                known = PerReport(part, {})
                bounds = intervals(
                    part,
                    metric.finalise,
                    list(patients[chosen]),
                    trials=trials,
                    seed=seed,
                    level=level,
                )
                for name, figure in metric.aggregate(known).items():
                    low, high = bounds[name]
                    figures[name] = {"value": float(figure), "low": low, "high": high}
            rows.append(
                {"column": column, "value": str(value), "n": int(chosen.sum()), "metrics": figures}
            )
    return rows
