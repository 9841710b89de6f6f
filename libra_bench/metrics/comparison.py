"""Comparing systems on the same reports, from stored statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from libra_bench.core.errors import InputError
from libra_bench.core.files import listing
from libra_bench.core.records import is_missing
from libra_bench.metrics.base import Metric
from libra_bench.metrics.scoring import signature_of, statistics_of
from libra_bench.metrics.signatures import differing_parts
from libra_bench.stats.clusters import Clusters, Floats, by_patient, scored_rows
from libra_bench.stats.effect import paired_effect
from libra_bench.stats.multiple import benjamini_hochberg, holm
from libra_bench.stats.paired import differences
from libra_bench.stats.resampling import Finalise

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Comparison:
    """One figure of one system beside the baseline's, over the reports that both have scored."""

    metric: str
    name: str
    """Of the output, for example `bleu4`."""
    title: str
    higher_is_better: bool
    baseline_label: str
    label: str
    n: int
    """Reports that both systems have scored."""
    baseline: float
    value: float
    difference: float
    """Value minus baseline."""
    low: float
    high: float
    """Interval of the difference, patients resampled."""
    p: float
    """Two-sided, by paired approximate randomisation of patients."""
    p_holm: float
    """`p` corrected for all rows of the table, so that none is likely to be false (Holm)."""
    p_bh: float
    """`p` corrected so that few of those below a level are false (Benjamini-Hochberg)."""
    effect: float
    """Cohen's d_z over the reports' own figures."""
    superiority: float
    """Share of reports whose own figure is better than the baseline's, ties counted half."""
    clusters: int
    """How many of `unit` were resampled and exchanged."""
    unit: str
    """`patients`, `reports`, or `patients and reports` where only some patients are known."""


def compare(
    frames: Mapping[str, pd.DataFrame],
    metrics: Sequence[Metric],
    *,
    trials: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> list[Comparison]:
    """Compare each system with the first, metric by metric.

    Args:
        frames: scores by label, as `scoring.to_frame` makes them, with `question_id` and, for
            resampling by patient, `subject_id`. The first is the baseline.

    Raises:
        InputError: fewer than two systems, other ids in one of them, statistics that are absent,
            or figures made in different ways. All faults of a system are named together.
    """
    labels = list(frames)
    if len(labels) < 2:
        raise InputError("a comparison needs two systems or more")
    baseline = _by_id(labels[0], frames[labels[0]])
    clusters = clusters_of(baseline)
    others = {label: _by_id(label, frames[label]) for label in labels[1:]}
    for label, frame in others.items():
        _refuse_unlike(labels[0], baseline, label, frame, metrics)
    rows = [
        row
        for label, frame in others.items()
        for row in _against(
            labels[0],
            baseline,
            label,
            frame.loc[baseline.index],
            metrics,
            clusters,
            trials=trials,
            seed=seed,
            level=level,
        )
    ]
    raw = [row.p for row in rows]
    return [
        replace(row, p_holm=strict, p_bh=lenient)
        for row, strict, lenient in zip(rows, holm(raw), benjamini_hochberg(raw), strict=True)
    ]


def _by_id(label: str, frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with its ids, as text, for index."""
    if "question_id" not in frame.columns:
        raise InputError(f"{label}: these scores have no column question_id")
    indexed = frame.set_index(frame["question_id"].astype(str))
    twice = indexed.index[indexed.index.duplicated()].unique()
    if len(twice):
        raise InputError(f"{label}: ids that occur twice: {listing(map(str, twice))}")
    return indexed


def clusters_of(frame: pd.DataFrame) -> Clusters:
    """The patients of a frame of scores, indexed by report."""
    reports = [str(key) for key in frame.index]
    if "subject_id" not in frame.columns:
        return by_patient([None] * len(frame), reports)
    patients = [None if is_missing(value) else str(value) for value in frame["subject_id"]]
    return by_patient(patients, reports)


def _refuse_unlike(
    first: str,
    baseline: pd.DataFrame,
    second: str,
    frame: pd.DataFrame,
    metrics: Sequence[Metric],
) -> None:
    faults = [f"id {key!r} only in {first}" for key in baseline.index.difference(frame.index)]
    faults += [f"id {key!r} only in {second}" for key in frame.index.difference(baseline.index)]
    faults += [
        f"id {key!r} has another reference text in {second}"
        for key in _other_references(baseline, frame)
    ]
    for metric in metrics:
        one, two = signature_of(baseline, metric), signature_of(frame, metric)
        if one is None or two is None:
            continue
        faults += [
            f"{metric.name} was made with {part}" for part in differing_parts(one, two, ("n",))
        ]
    if faults:
        raise InputError(f"{first} and {second} cannot be compared: " + listing(faults))


def _other_references(baseline: pd.DataFrame, frame: pd.DataFrame) -> list[str]:
    """Ids of both frames whose texts were scored against different references."""
    name = "reference_hash"
    if name not in baseline.columns or name not in frame.columns:
        return []
    shared = baseline.index.intersection(frame.index)
    differ = baseline.loc[shared, name] != frame.loc[shared, name]
    return [str(key) for key in shared[differ.to_numpy(dtype=bool)]]


def _against(
    first: str,
    baseline: pd.DataFrame,
    second: str,
    frame: pd.DataFrame,
    metrics: Sequence[Metric],
    clusters: Clusters,
    *,
    trials: int,
    seed: int,
    level: float,
) -> list[Comparison]:
    """One system against the baseline; both frames have the same ids in the same order."""
    pairs = [(statistics_of(baseline, metric), statistics_of(frame, metric)) for metric in metrics]
    both = [scored_rows(one) & scored_rows(two) for one, two in pairs]
    # All metrics share one drawing of patients: a report that a metric left unscored adds nothing
    # to that metric's sums.
    stacked = [
        np.concatenate(
            [
                np.where(known[:, None], pair[side], 0.0)
                for pair, known in zip(pairs, both, strict=True)
            ],
            axis=1,
        )
        for side in (0, 1)
    ]
    found = differences(
        stacked[0],
        stacked[1],
        joint(metrics),
        clusters.labels,
        trials=trials,
        seed=seed,
        level=level,
    )
    rows = []
    for metric, known in zip(metrics, both, strict=True):
        for output in metric.outputs:
            rows_of = known.copy()
            if output.of_some:
                rows_of &= ~baseline[output.name].isna().to_numpy(dtype=bool)
                rows_of &= ~frame[output.name].isna().to_numpy(dtype=bool)
            behind = clusters.of(rows_of)
            result = found[output.name]
            reach = output.high - output.low
            effect = paired_effect(
                baseline[output.name].to_numpy(dtype=np.float64)[rows_of],
                frame[output.name].to_numpy(dtype=np.float64)[rows_of],
            )
            rows.append(
                Comparison(
                    metric=metric.name,
                    name=output.name,
                    title=output.title,
                    higher_is_better=output.higher_is_better,
                    baseline_label=first,
                    label=second,
                    n=int(rows_of.sum()),
                    baseline=result.first,
                    value=result.second,
                    difference=result.difference,
                    low=max(result.low, -reach),
                    high=min(result.high, reach),
                    p=result.p,
                    p_holm=float("nan"),
                    p_bh=float("nan"),
                    effect=effect.standardised,
                    superiority=effect.superiority
                    if output.higher_is_better
                    else 1 - effect.superiority,
                    clusters=behind.count,
                    unit=behind.unit,
                )
            )
    return rows


def joint(metrics: Sequence[Metric]) -> Finalise:
    """The figures of several metrics from their statistics side by side: [..., k1 + k2 + ...]."""
    ends = np.cumsum([len(metric.statistics) for metric in metrics])

    def finalise(sums: Floats) -> dict[str, Floats]:
        figures: dict[str, Floats] = {}
        for metric, end in zip(metrics, ends, strict=True):
            figures.update(metric.finalise(sums[..., end - len(metric.statistics) : end]))
        return figures

    return finalise
