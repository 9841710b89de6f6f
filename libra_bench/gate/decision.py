"""The rule: when a figure is worse, better, the same, or undecided.

With d the difference from the baseline, turned so that positive is better, and M the margin:

- *worse*: a one-sided p of d < -M, corrected over all figures and groups (Holm), is at most alpha;
- *better*: the same of d > M;
- *same*: the two-sided (1 - alpha) interval of d lies within [-M, M];
- *undecided*: none of these.

So a run that is no worse is called worse with a chance of at most alpha, over all figures, groups
and checks together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from libra_bench.core.errors import InputError
from libra_bench.core.files import listing
from libra_bench.gate.baseline import Baseline, Statistics
from libra_bench.gate.judgement import Judgement
from libra_bench.gate.quality import Tested
from libra_bench.gate.settings import GateSettings
from libra_bench.metrics import registry
from libra_bench.metrics.base import Metric
from libra_bench.metrics.comparison import joint
from libra_bench.stats.change import EQUAL, Change, changes
from libra_bench.stats.clusters import Clusters, Floats, scored_rows
from libra_bench.stats.multiple import holm

FIGURES = 0.8
"""The part of alpha that the figures have; the quality checks, which have thresholds of their own,
have the rest."""
POWER = 0.8
FEWEST = 2
"""Patients between whom a difference can be judged at all."""
WHOLE = "all"
"""The group of all reports."""


@dataclass(frozen=True)
class Pair:
    """The same reports' statistics of one metric, before and now, in the same order."""

    metric: Metric
    before: Floats
    now: Floats

    @property
    def both(self) -> NDArray[np.bool_]:
        """[n], whether both sides have scored a report."""
        return scored_rows(self.before) & scored_rows(self.now)


def pairs_of(baseline: Baseline, now: Baseline) -> list[Pair]:
    """The metrics that both have, reports in the order of the run."""
    place = {key: row for row, key in enumerate(baseline.ids)}
    order = [place[key] for key in now.ids]
    found = []
    for name, part in baseline.metrics.items():
        if name not in now.metrics:
            continue
        metric = registry.create(name, baseline.profile)
        unknown = [key for key in metric.statistics if key not in part.columns]
        if unknown:
            raise InputError(f"the baseline has no statistic {unknown[0]!r} of {name}")
        _refuse_edited(metric, part)
        found.append(
            Pair(
                metric,
                part.array(metric.statistics)[order],
                now.metrics[name].array(metric.statistics),
            )
        )
    return found


def _refuse_edited(metric: Metric, part: Statistics) -> None:
    """Refuse statistics that do not make the scores beside them.

    Raises:
        InputError: the scores that are not those of the statistics.
    """
    values = part.array(metric.statistics)
    made = metric.finalise(values[scored_rows(values)].sum(axis=0))
    faults = [
        f"{name}: {score.value:.4f} stands there, and its statistics make {float(made[name]):.4f}"
        for name, score in part.scores.items()
        if score.value is not None
        and name in made
        and not math.isclose(score.value, float(made[name]), rel_tol=1e-6, abs_tol=1e-6)
    ]
    if faults:
        raise InputError(
            "the baseline was changed after it was made: " + listing(faults) + "\nTo do: make it "
            "again with `libra-bench baseline save`, or take it from version control"
        )


def judge(
    pairs: Sequence[Pair],
    clusters: Clusters,
    groups: Mapping[str, NDArray[np.bool_]],
    gated: Sequence[str],
    margins: Mapping[str, float],
    tested: Sequence[Tested],
    settings: GateSettings,
) -> tuple[list[Judgement], list[Judgement], list[str]]:
    """Judge every gated score in every group, and the quality checks.

    Args:
        groups: rows [n] by name; `WHOLE` stands for all reports.
        gated: scores to judge; scores of `pairs` that are not among them are left out.
        tested: quality checks with p-values of their own.

    Returns:
        Figures, checks, and the names of what cannot gate: no value in the baseline, or fewer
        patients of a group than can be judged.

    Raises:
        InputError: fewer than two patients, or too few trials for so many tests.
    """
    found = [
        (name, pair, group, rows, change)
        for group, rows in groups.items()
        for name, pair, change in _changes(pairs, clusters, rows, group, gated, margins, settings)
    ]
    found = [one for one in found if not math.isnan(one[-1].first)]
    judged = {_label(name, group) for name, _, group, *_ in found}
    asked = [
        _label(output.name, group)
        for group in groups
        for pair in pairs
        for output in pair.metric.outputs
        if output.name in gated
    ]
    absent = [label for label in asked if label not in judged]
    raw = [math.nan if one.p is None else one.p for one in tested]
    _refuse_few_trials(len(found), sum(one.p is not None for one in tested), settings)
    worse, better = (
        corrected([getattr(change, side) for *_, change in found], FIGURES)
        for side in ("p_worse", "p_better")
    )
    figures = [
        _figure(name, pair, group, rows, change, p_values, clusters, margins, len(found), settings)
        for (name, pair, group, rows, change), *p_values in zip(found, worse, better, strict=True)
    ]
    checks = [
        one.judgement(p, settings.alpha)
        for one, p in zip(tested, corrected(raw, 1 - FIGURES), strict=True)
    ]
    return figures, checks, absent


def _label(name: str, group: str) -> str:
    return name if group == WHOLE else f"{name}@{group}"


def corrected(p_values: Sequence[float], part: float) -> list[float]:
    """p-values that may be held against the whole gate's alpha, of which a family has a part."""
    return [min(1.0, p / part) if p == p else p for p in holm(p_values)]


def _refuse_few_trials(figures: int, checks: int, settings: GateSettings) -> None:
    needed = math.ceil(max(figures / FIGURES, checks / (1 - FIGURES)) / settings.alpha) - 1
    if settings.trials < needed:
        raise InputError(
            f"trials {settings.trials}: nothing could be called worse among {figures} figures and "
            f"{checks} checks at alpha {settings.alpha:g}; at least {needed} are needed"
        )


def _changes(
    pairs: Sequence[Pair],
    clusters: Clusters,
    rows: NDArray[np.bool_],
    group: str,
    gated: Sequence[str],
    margins: Mapping[str, float],
    settings: GateSettings,
) -> list[tuple[str, Pair, Change]]:
    """The change of each score within one group; all metrics share one drawing of patients."""
    asked = [pair for pair in pairs if any(one.name in gated for one in pair.metric.outputs)]
    used = [pair for pair in asked if clusters.of(rows & pair.both).count >= FEWEST]
    if group == WHOLE and len(used) < len(asked):
        faults = [
            f"{pair.metric.name}: {behind.count} {behind.unit} scored on both sides"
            for pair in asked
            if (behind := clusters.of(rows & pair.both)).count < FEWEST
        ]
        raise InputError(
            f"no difference can be judged below {FEWEST} patients, and a gate needs more reports: "
            + listing(faults)
        )
    if not used:
        return []
    drawn = clusters.of(rows)
    stacked = [
        np.concatenate(
            [
                np.where(pair.both[:, None], side, 0.0)[rows]
                for pair in used
                for side in (pair.before if first else pair.now,)
            ],
            axis=1,
        )
        for first in (True, False)
    ]
    outputs = {one.name: (one, pair) for pair in used for one in pair.metric.outputs}
    found = changes(
        stacked[0],
        stacked[1],
        joint([pair.metric for pair in used]),
        drawn.labels,
        higher_is_better={name: one.higher_is_better for name, (one, _) in outputs.items()},
        margins=margins,
        trials=settings.trials,
        seed=settings.seed,
        level=1 - settings.alpha,
    )
    return [(name, pair, found[name]) for name, (_, pair) in outputs.items() if name in gated]


def _figure(
    name: str,
    pair: Pair,
    group: str,
    rows: NDArray[np.bool_],
    change: Change,
    p_values: Sequence[float],
    clusters: Clusters,
    margins: Mapping[str, float],
    tests: int,
    settings: GateSettings,
) -> Judgement:
    output = next(one for one in pair.metric.outputs if one.name == name)
    behind, margin = clusters.of(rows & pair.both), margins.get(name, 0.0)
    side = 1.0 if output.higher_is_better else -1.0
    falls = side * change.difference < 0
    whole, level = group == WHOLE, settings.alpha * FIGURES / tests
    judged = Judgement(
        name=_label(name, group),
        title=output.title if whole else f"{output.title} ({group})",
        verdict="undecided",
        baseline=change.first,
        current=change.second,
        difference=change.difference,
        low=change.low,
        high=change.high,
        p=p_values[0] if falls else p_values[1],
        p_raw=change.p_worse if falls else change.p_better,
        margin=margin,
        detectable=detectable(change.error, change.difference, behind.count, margin, level),
        higher_is_better=output.higher_is_better,
        group=None if whole else group,
        n=int((rows & pair.both).sum()),
        clusters=behind.count,
        unit=behind.unit,
    )
    return _decided(judged, p_values, settings.alpha, level)


def _decided(judged: Judgement, p_values: Sequence[float], alpha: float, level: float) -> Judgement:
    assert judged.difference is not None and judged.low is not None and judged.high is not None
    if math.isnan(judged.difference):
        return replace(judged, verdict="worse", reason="the baseline has a value, and the run none")
    margin = f" by more than the margin of {judged.margin:g}" if judged.margin else ""
    known = not math.isnan(judged.low) and not math.isnan(judged.high)
    interval = f"{judged.low:+.2f} to {judged.high:+.2f}" if known else "interval unknown"
    fall = f"{judged.difference:+.2f} ({interval})"
    if p_values[0] <= alpha:
        reason = f"worse{margin}: {fall}, corrected p {p_values[0]:.2g}"
        return replace(judged, verdict="worse", reason=reason)
    if p_values[1] <= alpha:
        reason = f"better{margin}: {fall}, corrected p {p_values[1]:.2g}"
        return replace(judged, verdict="better", reason=reason)
    within = judged.margin + EQUAL
    if -within <= judged.low and judged.high <= within:
        return replace(judged, verdict="same")
    return replace(judged, reason=f"{fall}: cannot tell{_shown(judged, level)}")


def _shown(judged: Judgement, level: float) -> str:
    """What so many clusters could have shown, in words."""
    if judged.detectable is not None:
        return (
            f"; {judged.clusters:,} {judged.unit} would have shown a change of "
            f"{judged.detectable:.2f} (power 80 %)"
        )
    if judged.clusters is not None and 2.0**-judged.clusters > level:
        return (
            f"; {judged.clusters} {judged.unit} can show no change at all among so many figures: "
            f"at least {math.ceil(-math.log2(level))} are needed"
        )
    return ""


def detectable(
    error: float, difference: float, clusters: int, margin: float, alpha: float
) -> float | None:
    """The smallest fall that one test at `alpha` shows with 80 % power.

    Args:
        error: standard deviation of the difference under exchange.
        difference: the observed one. Exchange counts it as spread (each cluster's square is taken
            about 0), and it is no part of the noise of a run that falls otherwise.

    Returns:
        None where it is unknown, and where no fall could be shown: all of c clusters falling has
        a p-value of 2 ** -c, whatever their size.
    """
    from scipy.stats import t as student

    if not math.isfinite(error) or clusters < 2 or 2.0**-clusters > alpha:
        return None
    noise = math.sqrt(max(error**2 - difference**2 / clusters, 0.0) * clusters / (clusters - 1))
    if noise <= EQUAL:
        return None
    far, power = student.ppf([1 - alpha, POWER], clusters - 1)
    return float((far + power) * noise + margin)
