"""A `summary.json` as a baseline: figures and intervals, and nothing of single reports."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from libra_bench.core.errors import InputError
from libra_bench.gate.judgement import Judgement, Outcome
from libra_bench.gate.settings import GateSettings
from libra_bench.metrics.regression import Verdict as Old
from libra_bench.metrics.regression import regressions

NOTE = (
    "unpaired: this baseline is a summary, so that a figure is worse only outside the baseline's "
    "own interval, most falls stay undecided, the false-alarm rate is not held, and subgroups and "
    "texts are not gated; `libra-bench baseline save --run DIR --output FILE` keeps what a paired "
    "check needs"
)


def judge_unpaired(
    now: Mapping[str, Any],
    before: Mapping[str, Any],
    settings: GateSettings,
    *,
    run: str,
    baseline: str,
) -> Outcome:
    """Judge a summary by another's intervals.

    Raises:
        InputError: no summaries, figures that are not comparable, settings that need reports.
    """
    if settings.by:
        raise InputError(f"--by needs a paired baseline, and {baseline} is a summary")
    verdicts = regressions(now, before)
    metrics = {
        name: str(figure.get("metric", name))
        for side in (before, now)
        for name, figure in side["metrics"].items()
    }
    gated, margins = settings.gated(metrics), settings.margins_of(metrics)
    figures = [
        _figure(one, before["metrics"][one.name], now["metrics"].get(one.name, {}), margins)
        for one in verdicts
        if one.name in gated and one.verdict != "new"
    ]
    notes = [NOTE]
    new = [one.name for one in verdicts if one.name in gated and one.verdict == "new"]
    if new:
        notes.append(f"not gated, for the baseline does not have them: {', '.join(new)}")
    return Outcome(
        baseline=baseline,
        run=run,
        alpha=settings.alpha,
        strict=settings.strict,
        figures=figures,
        checks=_failed(now, before, settings),
        notes=notes,
    )


def _figure(
    one: Old, before: Mapping[str, Any], now: Mapping[str, Any], margins: Mapping[str, float]
) -> Judgement:
    higher = bool(before.get("higher_is_better", True))
    title, margin = str(before.get("title", one.name)), margins.get(one.name, 0.0)
    if one.baseline is None or one.current is None:
        lost = one.verdict == "not scored"
        return Judgement(
            name=one.name,
            title=title,
            verdict="worse" if lost else "same",
            baseline=one.baseline,
            current=one.current,
            higher_is_better=higher,
            reason="the metric was lost: whatever it would show stays hidden" if lost else "",
        )
    difference = one.current - one.baseline
    fall = difference if higher else -difference
    verdict: Any = one.verdict
    reason = ""
    if verdict == "worse" and fall >= -margin:
        verdict = "undecided"
    if verdict == "same" and difference:
        verdict = "undecided"
    if verdict == "undecided":
        reason = f"{difference:+.2f}: within the baseline's interval or margin, cannot tell"
    elif verdict != "same":
        reason = f"{verdict}: {difference:+.2f}, outside the baseline's interval"
    low, high = _interval(one, before, now)
    return Judgement(
        name=one.name,
        title=title,
        verdict=verdict,
        baseline=one.baseline,
        current=one.current,
        difference=difference,
        low=low,
        high=high,
        margin=margin,
        higher_is_better=higher,
        n=now.get("n"),
        reason=reason,
    )


def _interval(
    one: Old, before: Mapping[str, Any], now: Mapping[str, Any]
) -> tuple[float | None, float | None]:
    """Of the difference, as if the two runs had answered different reports."""
    ends = [
        float(end)
        for side in (before, now)
        for key in ("low", "high")
        if (end := side.get(key)) is not None and end == end
    ]
    if len(ends) < 4 or one.baseline is None or one.current is None:
        return None, None
    low_there, high_there, low_here, high_here = ends
    difference = one.current - one.baseline
    below = math.hypot(one.current - low_here, high_there - one.baseline)
    above = math.hypot(high_here - one.current, one.baseline - low_there)
    return difference - below, difference + above


def _failed(
    now: Mapping[str, Any], before: Mapping[str, Any], settings: GateSettings
) -> list[Judgement]:
    """The one quality that a run's summary counts."""
    counts = [
        count
        for side in (before, now)
        for key in ("failed", "n")
        if isinstance(count := side.get(key), int)
    ]
    if len(counts) < 4 or not (counts[1] and counts[3]):
        return []
    there, here = 100 * counts[0] / counts[1], 100 * counts[2] / counts[3]
    threshold = 100 * settings.threshold("failed")
    worse = here - there > threshold + 1e-9
    return [
        Judgement(
            name="failed",
            title="failed reports, %",
            verdict="worse" if worse else "same",
            baseline=there,
            current=here,
            difference=here - there,
            margin=threshold,
            higher_is_better=False,
            n=counts[3],
            reason=f"{counts[2]} of {counts[3]} reports, {counts[0]} in the baseline"
            if worse
            else "",
        )
    ]
