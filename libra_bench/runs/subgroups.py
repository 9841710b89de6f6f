"""Figures for parts of a cohort: with and without a prior image, by view, by any column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from libra_bench.core.records import is_missing
from libra_bench.metrics.base import Metric, PerReport
from libra_bench.metrics.scoring import bounds_of
from libra_bench.stats.clusters import Clusters

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("has_prior", "view", "abnormal", "days_to_prior", "reference_words")
"""What splits a cohort unasked, where its examples say it."""
SMALLEST = 5
"""A group of fewer reports says nothing; it is counted and not scored."""
UNKNOWN = "unknown"
"""The group of the reports without a value."""
_NO_VALUE = frozenset(("", "-", "n/a", "na", "nan", "none", "null", "unknown"))
"""How tables write that there is no value, beside numbers."""
_EDGES = {"days_to_prior": (1, 7, 30, 365)}
"""Last values of the groups of a number; others are cut into quarters of the cohort."""
_FEW = 5
"""Numbers with no more values than this are groups as they are."""
_NAMED = 10
"""Small groups of a column that a note names."""


@dataclass(frozen=True)
class Subgroups:
    """The groups that were scored, and what there is to say of the others."""

    rows: list[dict[str, Any]]
    notes: list[str]


def by_subgroup(
    frame: pd.DataFrame,
    clusters: Clusters,
    reports: Mapping[str, PerReport],
    metrics: Sequence[Metric],
    columns: Sequence[str],
    *,
    trials: int,
    seed: int,
    level: float,
) -> Subgroups:
    """Figures with intervals for each value of each column that splits the cohort.

    Args:
        frame: a row a report, with the columns that may split it.
        clusters: what is resampled whole.
        reports: each metric's statistics by its name.
        columns: of the frame.
    """
    rows: list[dict[str, Any]] = []
    left_out: list[str] = []
    for column in columns:
        small: list[str] = []
        for value, chosen in groups(frame[column]).items():
            if chosen.sum() < SMALLEST:
                small.append(f"{value} ({chosen.sum()})")
                continue
            figures: dict[str, Any] = {}
            own = clusters.of(chosen)
            for metric in metrics:
                if metric.name not in reports:
                    continue
                known = reports[metric.name].of(chosen)
                bounds = bounds_of(metric, known, own, trials=trials, seed=seed, level=level)
                values = metric.aggregate(known)
                for output in metric.outputs:
                    low, high = bounds[output.name]
                    figures[output.name] = {
                        "value": float(values[output.name]),
                        "low": low,
                        "high": high,
                    }
            rows.append(
                {
                    "column": column,
                    "value": value,
                    "n": int(chosen.sum()),
                    "clusters": own.count,
                    "unit": own.unit,
                    "metrics": figures,
                }
            )
        if small:
            named = ", ".join(small[:_NAMED])
            more = f" and {len(small) - _NAMED} more" if len(small) > _NAMED else ""
            left_out.append(f"{column} {named}{more}")
    if not left_out:
        return Subgroups(rows, [])
    return Subgroups(
        rows, [f"subgroups of fewer than {SMALLEST} reports are not shown: {'; '.join(left_out)}"]
    )


def column(values: Sequence[Any]) -> pd.Series[Any]:
    """Values of one field as a column of one kind: numbers, true and false, or text.

    Text that says that there is no value is none where all other values are numbers. Lists become
    text, their items joined by commas.
    """
    import pandas as pd

    known = [None if is_missing(value) else value for value in values]
    present = [value for value in known if value is not None]
    if present and all(isinstance(value, bool) for value in present):
        return pd.Series(known, dtype="boolean")
    numbers = [_number(value) for value in known]
    numeric = any(number is not None for number in numbers) and all(
        number is not None or value is None or str(value).strip().lower() in _NO_VALUE
        for number, value in zip(numbers, known, strict=True)
    )
    if numeric:
        return pd.Series(numbers, dtype="float64")
    return pd.Series([None if value is None else _text(value) for value in known], dtype="object")


def _number(value: Any) -> float | None:
    """A finite number, or a text that is one; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if np.isfinite(number) else None


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return str(value)


def groups(values: pd.Series[Any]) -> dict[str, NDArray[np.bool_]]:
    """The rows [n] of each group of a column; none where it does not split the cohort.

    Numbers with many values become ranges, `8 to 30`. Rows without a value are a group, the last.
    """
    import pandas as pd

    known = values.dropna()
    unknown = values.isna().to_numpy(dtype=bool)
    if known.nunique() + unknown.any() < 2:
        return {}
    numeric = pd.api.types.is_numeric_dtype(known) and not pd.api.types.is_bool_dtype(known)
    if not numeric or known.nunique() <= _FEW:
        found = {
            _name(value) if numeric else str(value): (values == value).to_numpy(
                dtype=bool, na_value=False
            )
            for value in sorted(known.unique())
        }
    else:
        found = _ranges(values, known)
    if unknown.any():
        found[UNKNOWN] = found.get(UNKNOWN, False) | unknown
    return found


def _ranges(values: pd.Series[Any], known: pd.Series[Any]) -> dict[str, NDArray[np.bool_]]:
    edges = _EDGES.get(str(values.name)) or sorted(set(known.quantile([0.25, 0.5, 0.75])))
    bounds = [float(known.min()), *edges, float(known.max())]
    found = {}
    for index, (low, high) in enumerate(pairwise(bounds)):
        above = values >= low if index == 0 else values > low
        inside = (above & (values <= high)).to_numpy(dtype=bool, na_value=False)
        if inside.any():
            part = values[inside]
            ends = dict.fromkeys((_name(part.min()), _name(part.max())))
            found[" to ".join(ends)] = inside
    return found


def _name(number: float) -> str:
    return str(int(number)) if float(number).is_integer() else f"{number:g}"
