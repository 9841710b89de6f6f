"""Figures for parts of a cohort: with and without a prior image, by view, by any column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from libra_bench.metrics.base import Metric, PerReport
from libra_bench.stats.bootstrap import intervals

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("has_prior", "view", "abnormal", "days_to_prior", "reference_words")
"""What splits a cohort unasked, where its examples say it."""
SMALLEST = 5
"""A group of fewer reports says nothing, and is not shown."""
_EDGES = {"days_to_prior": (1, 7, 30, 365)}
"""Last values of the groups of a number; others are cut into quarters of the cohort."""
_FEW = 5
"""Numbers with no more values than this are groups as they are."""


def by_subgroup(
    frame: pd.DataFrame,
    clusters: Sequence[str],
    reports: Mapping[str, PerReport],
    metrics: Sequence[Metric],
    columns: Sequence[str],
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
        columns: of the frame.
    """
    patients = np.asarray(clusters, dtype=object)
    rows = []
    for column in columns:
        for value, chosen in groups(frame[column]).items():
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
                {"column": column, "value": value, "n": int(chosen.sum()), "metrics": figures}
            )
    return rows


def groups(values: pd.Series[Any]) -> dict[str, NDArray[np.bool_]]:
    """The rows [n] of each group of a column; none where it does not split the cohort.

    Numbers with many values become ranges, `8 to 30`. A row without a value is in no group.
    """
    import pandas as pd

    known = values.dropna()
    if known.nunique() < 2:
        return {}
    numeric = pd.api.types.is_numeric_dtype(known) and not pd.api.types.is_bool_dtype(known)
    if not numeric or known.nunique() <= _FEW:
        return {
            str(value): (values == value).to_numpy(dtype=bool, na_value=False)
            for value in sorted(known.unique(), key=lambda value: (str(type(value)), value))
        }
    edges = _EDGES.get(str(values.name)) or sorted(set(known.quantile([0.25, 0.5, 0.75])))
    bounds = [float(known.min()), *edges, float(known.max())]
    found = {}
    for place, (low, high) in enumerate(pairwise(bounds)):
        above = values >= low if place == 0 else values > low
        inside = (above & (values <= high)).to_numpy(dtype=bool, na_value=False)
        if inside.any():
            part = values[inside]
            found[f"{part.min():g} to {part.max():g}"] = inside
    return found
