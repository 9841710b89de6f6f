"""Speed and memory against a record of `perf measure`, as ratios.

Times are in units of the calibration loop that ran beside each repetition. A run is slower where
its ratio lies above 1 + the threshold by more than the repetitions' own noise: Welch's t test on
the logarithms, at half of alpha because memory is the other test. Times that other work disturbed
(`Record.disturbed`) decide nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from libra_bench.core.errors import InputError
from libra_bench.core.files import listing
from libra_bench.gate.judgement import Judgement, Outcome, Verdict
from libra_bench.gate.settings import GateSettings
from libra_bench.perf.record import Record, read

OWN = "libra_bench"
"""The one version that may differ: what is under test."""
SAME_FIELDS = ("kind", "model", "random_weights", "shape", "device", "gpu", "dtype", "attention")
FEWEST = 3
"""Repetitions from which noise can be told."""


def check_speed(current: Path, baseline: Path, settings: GateSettings | None = None) -> Outcome:
    """Judge a measurement.

    Raises:
        InputError: no records, or of another device, other versions or other work.
    """
    asked = settings or GateSettings()
    asked.check()
    now, before = read(current), read(baseline)
    _refuse_unlike(before, now, str(baseline), str(current))
    notes = [
        f"{path}: other work disturbed this measurement (spread {record.spread:.2f}, load "
        f"{record.facts['load_average']:.1f} on {record.facts['cpus']} processors)"
        for path, record in ((current, now), (baseline, before))
        if record.disturbed
    ]
    return Outcome(
        baseline=str(baseline),
        run=str(current),
        alpha=asked.alpha,
        strict=asked.strict,
        checks=[_time(before, now, asked), *_memory(before, now, asked)],
        notes=notes,
    )


def _refuse_unlike(before: Record, now: Record, there: str, here: str) -> None:
    faults = [
        f"{name}: {getattr(before, name)} there, {getattr(now, name)} here"
        for name in SAME_FIELDS
        if getattr(before, name) != getattr(now, name)
    ]
    for kind, one, two in (
        ("", before.settings, now.settings),
        ("version of ", before.versions, now.versions),
        ("", {"threads": before.facts.get("threads")}, {"threads": now.facts.get("threads")}),
    ):
        faults += [
            f"{kind}{name}: {one.get(name, 'absent')} there, {two.get(name, 'absent')} here"
            for name in dict.fromkeys([*one, *two])
            if name != OWN and one.get(name) != two.get(name)
        ]
    faults += [
        f"{place}: {fault}"
        for place, record in ((there, before), (here, now))
        for fault in _unusable(record)
    ]
    if faults:
        raise InputError(
            "these measurements are not comparable: "
            + listing(faults)
            + "\nTo do: measure the baseline again here, with `libra-bench perf measure --output`"
        )


def _unusable(record: Record) -> list[str]:
    if len(record.calibration) != len(record.seconds):
        return ["was measured without the calibration loop"]
    if len(record.seconds) < FEWEST:
        return [f"{len(record.seconds)} repetitions; {FEWEST} are needed to tell the noise"]
    if any(not (math.isfinite(x) and x > 0) for x in [*record.seconds, *record.calibration]):
        return ["a time that is no number above 0"]
    return []


@dataclass(frozen=True)
class _Ratio:
    """The geometric mean of times now over before, and the standard error of its logarithm."""

    value: float
    error: float
    degrees: float

    def bound(self, tail: float) -> float:
        from scipy.stats import t as student

        return float(self.value * math.exp(student.ppf(tail, self.degrees) * self.error))

    def p_above(self, bound: float) -> float:
        from scipy.stats import t as student

        distance = math.log(self.value / bound)
        if self.error <= 0:
            return 0.0 if distance > 0 else 1.0
        return float(student.sf(distance / self.error, self.degrees))


def _ratio(before: Record, now: Record) -> _Ratio:
    logs = [
        np.log(np.asarray(record.seconds) / np.asarray(record.calibration))
        for record in (before, now)
    ]
    parts = [one.var(ddof=1) / len(one) for one in logs]
    total = float(sum(parts))
    degrees: float = min(len(one) - 1 for one in logs)
    if total > 0:
        weights = sum(part**2 / (len(one) - 1) for part, one in zip(parts, logs, strict=True))
        degrees = total**2 / float(weights)
    return _Ratio(math.exp(logs[1].mean() - logs[0].mean()), math.sqrt(total), degrees)


def _time(before: Record, now: Record, settings: GateSettings) -> Judgement:
    ratio, threshold = _ratio(before, now), settings.threshold("time")
    alpha = settings.alpha / 2
    p = ratio.p_above(1 + threshold)
    p_faster = 1 - ratio.p_above(1 / (1 + threshold))
    low, high = ratio.bound(alpha / 2), ratio.bound(1 - alpha / 2)
    verdict: Verdict = "undecided"
    if p <= alpha:
        verdict = "worse"
    elif p_faster <= alpha:
        verdict = "better"
    elif 1 / (1 + threshold) <= low and high <= 1 + threshold:
        verdict = "same"
    disturbed = before.disturbed or now.disturbed
    if disturbed and verdict != "same":
        verdict = "undecided"
    shown = f"{ratio.value:.2f} times the baseline's time ({low:.2f} to {high:.2f})"
    return Judgement(
        name="time",
        title="time, in calibration loops, over the baseline's",
        verdict=verdict,
        baseline=1.0,
        current=ratio.value,
        difference=ratio.value - 1,
        low=low - 1,
        high=high - 1,
        p=min(1.0, 2 * (p if ratio.value > 1 else p_faster)),
        p_raw=p if ratio.value > 1 else p_faster,
        margin=threshold,
        higher_is_better=False,
        n=len(now.seconds),
        reason=""
        if verdict == "same"
        else f"{shown}, with other work on the machine: measure again"
        if disturbed
        else shown,
    )


def _memory(before: Record, now: Record, settings: GateSettings) -> list[Judgement]:
    there, here = (record.results.get("peak_bytes") for record in (before, now))
    if not there or not here:
        return []
    ratio, threshold = here / there, settings.threshold("memory")
    verdict: Verdict = "same"
    if ratio > 1 + threshold:
        verdict = "worse"
    elif ratio < 1 / (1 + threshold):
        verdict = "better"
    return [
        Judgement(
            name="memory",
            title="peak memory, over the baseline's",
            verdict=verdict,
            baseline=1.0,
            current=ratio,
            difference=ratio - 1,
            margin=threshold,
            higher_is_better=False,
            reason=""
            if verdict == "same"
            else f"{here / 2**20:,.0f} MiB, {there / 2**20:,.0f} MiB in the baseline",
        )
    ]
