"""Scoring texts with several metrics: figures, intervals, signatures, and what is missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from libra_bench.core.errors import InputError, MissingResourceError
from libra_bench.core.files import listing
from libra_bench.core.records import is_missing
from libra_bench.metrics.base import Metric, PerReport
from libra_bench.stats.bootstrap import intervals, method
from libra_bench.stats.clusters import Clusters, Floats, by_patient

if TYPE_CHECKING:
    import pandas as pd

SEPARATOR = "::"
SIGNATURE = "signature"


@dataclass(frozen=True)
class Figure:
    """One figure of a cohort, with all that it takes to trust it."""

    metric: str
    title: str
    value: float
    low: float
    high: float
    level: float
    n: int
    """Reports scored."""
    unscored: int
    clusters: int
    """How many of `unit` were resampled for the interval."""
    unit: str
    """`patients`, `reports`, or `patients and reports` where only some patients are known."""
    interval: str
    """How the interval was made."""
    higher_is_better: bool
    signature: str


@dataclass
class Scores:
    """What scoring gave."""

    per_report: dict[str, PerReport] = field(default_factory=dict)
    """By metric name."""
    figures: dict[str, Figure] = field(default_factory=dict)
    """By output name."""
    not_scored: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By metric name: `reason` and `mend`."""


def score_texts(
    predictions: Sequence[str | None],
    references: Sequence[str | None],
    metrics: Sequence[Metric],
    *,
    clusters: Clusters | None = None,
    trials: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    progress: Callable[[str], None] = lambda name: None,
) -> Scores:
    """Score n pairs of texts. A metric whose resources are missing is left out, with its reason.

    Args:
        predictions, references: [n]; None, or the NaN of pandas, where there is none.
        clusters: what the bootstrap resamples; each report alone if None.
        trials, seed, level: of the bootstrap intervals.
        progress: hears the name of each metric as it starts.

    Raises:
        InputError: the lengths differ, or something is neither text nor missing; all such places
            are named.
    """
    predictions, references = _texts("prediction", predictions), _texts("reference", references)
    lengths = {"predictions": len(predictions), "references": len(references)}
    if clusters is not None:
        lengths["clusters"] = len(clusters.labels)
    if len(set(lengths.values())) > 1:
        raise InputError(", ".join(f"{count} {name}" for name, count in lengths.items()))
    count = len(predictions)
    resampled = clusters or by_patient([None] * count, [str(n) for n in range(count)])
    scores = Scores()
    for metric in metrics:
        progress(metric.name)
        try:
            metric.check()
            # Damage is found where weights are loaded, which nothing but scoring does.
            report = metric.score(predictions, references)
        except MissingResourceError as gap:
            scores.not_scored[metric.name] = {
                "titles": [one.title for one in metric.outputs],
                "reason": gap.what,
                "mend": gap.mend,
                "fetch": gap.fetch,
                "also": gap.also,
            }
            continue
        scores.per_report[metric.name] = report
        values = metric.aggregate(report)
        bounds = bounds_of(metric, report, resampled, trials=trials, seed=seed, level=level)
        for output in metric.outputs:
            low, high = bounds[output.name]
            rows = report.behind(output)
            scored, behind = int(rows.sum()), resampled.of(rows)
            scores.figures[output.name] = Figure(
                metric=metric.name,
                title=output.title,
                value=float(values[output.name]),
                low=low,
                high=high,
                level=level,
                n=scored,
                unscored=report.unscored,
                clusters=behind.count,
                unit=behind.unit,
                interval=method(behind.count),
                higher_is_better=output.higher_is_better,
                signature=f"{metric.signature(scored)}|resampled:{behind.count} {behind.unit}",
            )
    return scores


def bounds_of(
    metric: Metric,
    report: PerReport,
    clusters: Clusters,
    *,
    trials: int,
    seed: int,
    level: float,
) -> dict[str, tuple[float, float]]:
    """Intervals of a metric's figures, each over the reports that it is made of."""

    def of(statistics: Floats) -> Mapping[str, tuple[float, float]]:
        return intervals(
            statistics, metric.finalise, clusters.labels, trials=trials, seed=seed, level=level
        )

    everything = of(report.statistics)
    found = {}
    for output in metric.outputs:
        bounds = everything[output.name]
        if output.of_some:
            # Patients without such a report say nothing of it, and are not counted as if they did.
            part = np.where(report.behind(output)[:, None], report.statistics, np.nan)
            bounds = of(part)[output.name]
        found[output.name] = output.within(*bounds)
    return found


def _texts(kind: str, values: Sequence[str | None]) -> list[str | None]:
    faults = [
        f"{kind} {place}: a text was expected, not {value!r}"
        for place, value in enumerate(values)
        if not (isinstance(value, str) or is_missing(value))
    ]
    if faults:
        raise InputError("texts that cannot be scored: " + listing(faults))
    return [None if is_missing(value) else value for value in values]


def to_frame(scores: Scores, metrics: Sequence[Metric]) -> pd.DataFrame:
    """Values and statistics, a row a report: `bleu4` and `bleu::matches4`.

    The statistics, with a metric's signature beside them (`bleu::signature`), are all that
    `compare` needs: no text is read and no weights are loaded again, because a metric's
    `finalise` depends on its class alone.
    """
    import pandas as pd

    columns: dict[str, np.ndarray] = {}
    for metric in metrics:
        report = scores.per_report.get(metric.name)
        if report is None:
            continue
        columns.update(report.values)
        for index, name in enumerate(metric.statistics):
            columns[f"{metric.name}{SEPARATOR}{name}"] = report.statistics[:, index]
        # A constant column costs nothing in Parquet, and no tool that rewrites the file drops it.
        columns[f"{metric.name}{SEPARATOR}{SIGNATURE}"] = np.full(
            len(report.statistics), metric.signature(int(report.scored.sum())), dtype=object
        )
    return pd.DataFrame(columns)


def statistics_of(frame: pd.DataFrame, metric: Metric) -> np.ndarray:
    """The statistics [n, k] of a metric from a frame that `to_frame` made.

    Raises:
        InputError: the frame does not hold them.
    """
    names = [f"{metric.name}{SEPARATOR}{name}" for name in metric.statistics]
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise InputError(f"no statistics of {metric.name} in these scores ({missing[0]} is absent)")
    return frame[names].to_numpy(dtype=np.float64)


def signature_of(frame: pd.DataFrame, metric: Metric) -> str | None:
    """The signature with which a frame's statistics of a metric were made; None if unrecorded."""
    column = f"{metric.name}{SEPARATOR}{SIGNATURE}"
    if column not in frame.columns or frame.empty:
        return None
    return str(frame[column].iloc[0])


def scored_metrics(frame: pd.DataFrame) -> list[str]:
    """Names of the metrics whose statistics a frame holds."""
    return list(
        dict.fromkeys(
            column.partition(SEPARATOR)[0] for column in frame.columns if SEPARATOR in str(column)
        )
    )
