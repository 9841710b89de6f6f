"""Clusters: reports of one patient resemble each other, so patients are resampled, not reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
KNOWN, UNKNOWN = "patient ", "report "
"""How the labels of clusters begin, so that an id of a report never meets that of a patient."""


@dataclass(frozen=True)
class Clusters:
    """What is resampled as a whole: the reports of one patient, or single reports."""

    labels: tuple[str, ...]
    """[n] the cluster of each report."""
    unknown: int
    """Reports whose patient is unknown; each is a cluster of its own."""

    @property
    def count(self) -> int:
        """Number of clusters."""
        return len(set(self.labels))

    def of(self, rows: NDArray[np.bool_]) -> Clusters:
        """The clusters of some rows: those where `rows` [n] is true."""
        labels = tuple(label for label, kept in zip(self.labels, rows, strict=True) if kept)
        return Clusters(labels, sum(label.startswith(UNKNOWN) for label in labels))

    @property
    def unit(self) -> str:
        """`patients`, `reports` (no patient is known), or `patients and reports`."""
        if not self.unknown:
            return "patients"
        return "reports" if self.unknown == len(self.labels) else "patients and reports"


def by_patient(patients: Sequence[str | None], reports: Sequence[str]) -> Clusters:
    """A cluster for each patient.

    Args:
        patients: [n] the patient of each report; None where unknown.
        reports: [n] ids of the reports.
    """
    labels = [
        f"{UNKNOWN}{report}" if patient is None else f"{KNOWN}{patient}"
        for patient, report in zip(patients, reports, strict=True)
    ]
    return Clusters(tuple(labels), sum(patient is None for patient in patients))


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
