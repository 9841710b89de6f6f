"""A run against its baseline: read both, refuse what is not comparable, judge the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from libra_bench.core.errors import InputError
from libra_bench.gate import baseline as files
from libra_bench.gate.baseline import Baseline
from libra_bench.gate.comparable import refuse_unlike
from libra_bench.gate.decision import WHOLE, Pair, judge, pairs_of
from libra_bench.gate.judgement import Judgement, Outcome
from libra_bench.gate.moved import most_moved
from libra_bench.gate.quality import quality_checks
from libra_bench.gate.reading import Run, read_run
from libra_bench.gate.settings import GateSettings
from libra_bench.gate.unpaired import judge_unpaired
from libra_bench.runs.folder import RunFolder
from libra_bench.runs.freshness import require_finished
from libra_bench.runs.scoring import add_subgroup_columns
from libra_bench.runs.subgroups import SMALLEST, groups

OF_PREDICTIONS = ("words", "status", "prediction_hash")
"""Columns that tell of the answers: groups made of them would not be the same before and now."""


def check_run(
    run: Path, baseline: Path, settings: GateSettings | None = None, *, texts: bool = False
) -> Outcome:
    """Judge a run.

    Args:
        run: a scored run folder.
        baseline: a file of `baseline save`, another run folder, or a `summary.json`, which is
            weaker: it knows nothing of single reports.
        texts: whether the studies that moved most come with their texts.

    Raises:
        InputError: no such files, what is not comparable, settings that cannot be used.
    """
    asked = settings or GateSettings()
    asked.check()
    if not baseline.is_dir():
        value = files.contents(baseline)
        if isinstance(value, dict) and "metrics" in value and "kind" not in value:
            return _unpaired(run, baseline, value, asked)
        before = files.parse(baseline, value)
    else:
        before = read_run(baseline).evidence
    found = read_run(run)
    return judge_run(found, before, asked, label=str(baseline), texts=texts)


def judge_run(
    run: Run, before: Baseline, settings: GateSettings, *, label: str, texts: bool = False
) -> Outcome:
    """Judge a run that was read against a baseline.

    Raises:
        InputError: as of `check_run`.
    """
    now = run.evidence
    if not before.scores:
        raise InputError(f"{label}: the baseline holds no metrics: there is nothing to gate")
    metrics = {name: metric for side in (before, now) for name, (metric, _) in side.scores.items()}
    gated, margins = settings.gated(metrics), settings.margins_of(metrics)
    refuse_unlike(before, now)
    lost = [name for name in gated if name in before.scores and _lost(name, before, now)]
    new = [name for name in gated if name not in before.scores]
    judged = [name for name in gated if name in before.scores and name not in lost]
    unscored = [name for name in judged if before.scores[name][1].value is None]
    judged = [name for name in judged if name not in unscored]
    pairs, clusters = pairs_of(before, now), before.clusters
    place = {key: row for row, key in enumerate(before.ids)}
    order = [place[key] for key in now.ids]
    if clusters.unknown == len(before.ids):
        clusters = now.clusters
    else:
        labels = tuple(clusters.labels[row] for row in order)
        clusters = replace(clusters, labels=labels)
    rows, notes = _groups(run, settings.by)
    tested, told = quality_checks(before, now, clusters, settings)
    figures, checks, absent = judge(pairs, clusters, rows, judged, margins, tested, settings)
    figures = [
        _named(one, pairs, rows, now.ids) if settings.fails(one.verdict) else one for one in figures
    ]
    figures += [_lost_figure(name, before, now) for name in lost]
    if new:
        notes.append(f"not gated, for the baseline does not have them: {', '.join(new)}")
    unscored += absent
    if unscored:
        notes.append(
            "not gated, for the baseline has no value, or of fewer than two patients: "
            + ", ".join(unscored)
        )
    if clusters.unknown:
        notes.append(
            f"the patient of {clusters.unknown} of {len(now.ids)} reports is unknown: each is "
            "resampled alone, and alarms are more frequent than stated where patients have several"
        )
    outcome = Outcome(
        baseline=label,
        run=str(run.path),
        alpha=settings.alpha,
        strict=settings.strict,
        figures=figures,
        checks=checks,
        notes=notes + told,
    )
    return _with_texts(outcome, run) if texts else outcome


def _lost(name: str, before: Baseline, now: Baseline) -> bool:
    """Whether a score of the baseline is none any more."""
    if before.scores[name][1].value is None:
        return False
    return name not in now.scores or now.scores[name][1].value is None


def _lost_figure(name: str, before: Baseline, now: Baseline) -> Judgement:
    metric, score = before.scores[name]
    why = now.not_scored.get(metric) or (
        "no report has it" if name in now.scores else "the run was scored without it"
    )
    return Judgement(
        name=name,
        title=score.title,
        verdict="worse",
        baseline=score.value,
        current=None,
        higher_is_better=score.higher_is_better,
        reason=f"the metric was lost ({why}): whatever it would show stays hidden",
    )


def _groups(run: Run, by: Sequence[str]) -> tuple[dict[str, NDArray[np.bool_]], list[str]]:
    """The rows of all reports and of each group that is large enough; notes on the others."""
    frame = run.frame.copy(deep=False)
    notes: list[str] = []
    found = {WHOLE: np.ones(len(frame), dtype=bool)}
    if not by:
        return found, notes
    columns = add_subgroup_columns(frame, run.examples, by)
    missing = [name for name in by if name not in columns or name in OF_PREDICTIONS]
    if missing:
        known = sorted(
            name
            for name in frame.columns
            if "::" not in name and name not in run.evidence.scores and name not in OF_PREDICTIONS
        )
        raise InputError(
            f"--by {', '.join(missing)}: no such column of the studies; there are "
            f"{', '.join(known)} and the examples' own fields"
        )
    clusters = run.evidence.clusters
    small = []
    for name in columns:
        parts = groups(frame[name])
        if not parts:
            notes.append(f"{name} does not split the cohort: it has one value")
        for value, rows in parts.items():
            if rows.sum() < SMALLEST or clusters.of(rows).count < 2:
                small.append(f"{name}={value} ({rows.sum()})")
            else:
                found[f"{name}={value}"] = rows
    if small:
        notes.append(f"groups too small to gate: {', '.join(small[:10])}")
    return found, notes


def _named(
    one: Judgement, pairs: Sequence[Pair], rows: Mapping[str, NDArray[np.bool_]], ids: list[str]
) -> Judgement:
    """A figure that fails, with the studies that moved it most."""
    score = one.name.partition("@")[0]
    pair = next(
        pair for pair in pairs if any(output.name == score for output in pair.metric.outputs)
    )
    return replace(one, moved=most_moved(pair, score, rows[one.group or WHOLE], ids))


def _with_texts(outcome: Outcome, run: Run) -> Outcome:
    texts = run.texts()

    def filled(one: Judgement) -> Judgement:
        moved = [
            replace(study, text=texts[study.id][0], reference=texts[study.id][1])
            for study in one.moved
        ]
        return replace(one, moved=tuple(moved))

    return replace(
        outcome,
        figures=[filled(one) for one in outcome.figures],
        checks=[filled(one) for one in outcome.checks],
    )


def _unpaired(run: Path, baseline: Path, value: dict[str, Any], settings: GateSettings) -> Outcome:
    folder = RunFolder.open(run)
    require_finished(folder)
    read_run(run)  # What is stale is refused, whatever it is held against.
    return judge_unpaired(folder.summary(), value, settings, run=str(run), baseline=str(baseline))
