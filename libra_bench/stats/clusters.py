"""Clusters: reports of one patient resemble each other, so patients are resampled, not reports."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def scored_rows(statistics: Floats) -> NDArray[np.bool_]:
    """[n], whether each row of [n, k] statistics holds no NaN."""
    return np.asarray(~np.isnan(statistics).any(axis=1), dtype=np.bool_)


def cluster_sums(statistics: Floats, clusters: Sequence[str]) -> Floats:
    """Statistics [n, k] summed within each cluster: [c, k]; rows with NaN count as absent.

    Args:
        clusters: [n] the cluster of each row.

    Raises:
        ValueError: the lengths differ.
    """
    if len(statistics) != len(clusters):
        raise ValueError(f"{len(statistics)} rows for {len(clusters)} clusters")
    _, index = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    known = np.where(scored_rows(statistics)[:, None], statistics, 0.0)
    sums = np.zeros((int(index.max(initial=-1)) + 1, statistics.shape[1]))
    np.add.at(sums, index, known)
    return sums
