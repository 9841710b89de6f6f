"""Corrections for many tests at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's (1979) adjusted p-values: control of the chance of any false alarm. NaN stays NaN."""
    return _adjusted(p_values, lambda p, rank, count: p * (count - rank), upwards=True)


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Benjamini & Hochberg's (1995) adjusted p-values: control of the false discovery rate."""
    return _adjusted(p_values, lambda p, rank, count: p * count / (rank + 1), upwards=False)


def _adjusted(
    p_values: Sequence[float], scale: Callable[[float, int, int], float], *, upwards: bool
) -> list[float]:
    values = np.asarray(p_values, dtype=np.float64)
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.argsort(values[known], kind="stable")]
    scaled = np.asarray(
        [scale(values[place], rank, len(order)) for rank, place in enumerate(order)]
    )
    steady = np.maximum.accumulate(scaled) if upwards else np.minimum.accumulate(scaled[::-1])[::-1]
    result = np.full(len(values), np.nan)
    result[order] = np.minimum(steady, 1.0)
    return [float(value) for value in result]
