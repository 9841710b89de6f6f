"""Did a run get worse than its baseline? Figures in, verdicts out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from libra_bench.core.errors import InputError
from libra_bench.core.files import listing
from libra_bench.metrics.signatures import differing_parts

# Other weights are what a check is about, and a failed report shows in `n`; another metric or
# other decoding makes figures that cannot be held against each other.
MAY_DIFFER = ("n", "model", "resampled")
EQUAL = 1e-9
_BESIDE = (
    ("signature", "a text", str | None),
    ("n", "a whole number", int | None),
    ("unscored", "a whole number", int | None),
)
"""What a figure may hold beside its values."""


@dataclass(frozen=True)
class Verdict:
    """How one figure stands against its baseline."""

    name: str
    baseline: float | None
    current: float | None
    bound: float | None
    """The end of the interval that had to be passed; the baseline itself where none is known."""
    verdict: Literal["same", "better", "worse", "not scored", "new"]

    @property
    def regressed(self) -> bool:
        """Whether this fails a check."""
        return self.verdict in ("worse", "not scored")


def regressions(current: Mapping[str, Any], baseline: Mapping[str, Any]) -> list[Verdict]:
    """A verdict on each figure of two summaries, the baseline's figures first.

    Worse means that the current value lies outside the baseline's interval on the bad side; where
    the baseline has no interval, that the baseline's value lies outside the current one's on the
    good side; where neither has one, that the value is worse at all. A figure of the baseline
    that is not scored now is a regression: a metric that is lost hides every change.

    Args:
        current, baseline: `{"metrics": {name: {"value", "low"?, "high"?, "higher_is_better"?,
            "signature"?}}}`; null stands for NaN.

    Raises:
        InputError: no such summaries, or figures made in different ways or on another number of
            reports. All faults are named together.
    """
    now, before = _metrics(current, "the run's summary"), _metrics(baseline, "the baseline")
    if not before:
        raise InputError("the baseline holds no metrics: there is nothing to check against")
    profiles = {found for found in map(_profile, (current, baseline)) if found}
    faults = [] if len(profiles) < 2 else [f"profiles {' and '.join(sorted(profiles))}"]
    cohorts = {found for found in map(_cohort, (current, baseline)) if found}
    if len(cohorts) > 1:
        faults.append("other reports or other reference texts (the hashes of the cohorts differ)")
    faults += [
        f"{name}: {difference}"
        for name in before
        if name in now
        for difference in _unlike(before[name], now[name])
    ]
    if faults:
        raise InputError("the run and its baseline are not comparable: " + listing(faults))
    known = [_verdict(name, before[name], now.get(name)) for name in before]
    return known + [
        Verdict(name, None, _number(figure, "value"), None, "new")
        for name, figure in now.items()
        if name not in before
    ]


def _profile(summary: Mapping[str, Any]) -> str | None:
    """The profile of a summary, or of what `score --json` printed; None where it says none."""
    run = summary.get("run")
    found = summary.get("profile") or (run.get("profile") if isinstance(run, Mapping) else None)
    return None if found is None else str(found)


def _cohort(summary: Mapping[str, Any]) -> str | None:
    """The hash of a summary's ids and references; None where it says none."""
    hashes = summary.get("hashes")
    found = hashes.get("cohort") if isinstance(hashes, Mapping) else None
    return None if found is None else str(found)


def _metrics(summary: Mapping[str, Any], what: str) -> Mapping[str, Mapping[str, Any]]:
    metrics = summary.get("metrics") if isinstance(summary, Mapping) else None
    if not isinstance(metrics, Mapping):
        raise InputError(f"{what} has no object `metrics`")
    faults = [
        f"{name}: an object with a number `value` was expected"
        for name, figure in metrics.items()
        if not isinstance(figure, Mapping)
        or any(
            isinstance(figure.get(key), bool) or not isinstance(figure.get(key), int | float | None)
            for key in ("value", "low", "high")
        )
        or "value" not in figure
    ]
    faults = faults or [
        f"{name}: {key}: {kind} was expected"
        for name, figure in metrics.items()
        for key, kind, types in _BESIDE
        if not isinstance(figure.get(key), types)
    ]
    if faults:
        raise InputError(f"{what}: " + listing(faults))
    return metrics


def _unlike(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    differences = []
    if before.get("signature") and now.get("signature"):
        differences += differing_parts(before["signature"], now["signature"], MAY_DIFFER)
    sizes = [
        figure["n"] + figure["unscored"]
        if None not in (figure.get("n"), figure.get("unscored"))
        else None
        for figure in (before, now)
    ]
    if None not in sizes and sizes[0] != sizes[1]:
        differences.append(f"{sizes[0]} reports there, {sizes[1]} here")
    if before.get("higher_is_better", True) != now.get("higher_is_better", True):
        differences.append("one is better when higher, the other when lower")
    return differences


def _verdict(name: str, before: Mapping[str, Any], now: Mapping[str, Any] | None) -> Verdict:
    expected, found = _number(before, "value"), _number(now or {}, "value")
    if expected is None:
        return Verdict(name, None, found, None, "same" if found is None else "new")
    if found is None:
        return Verdict(name, expected, None, None, "not scored")
    # Seen with the sign that makes larger better, the ends of an interval change places.
    sign = 1.0 if before.get("higher_is_better", True) else -1.0
    ends = ("low", "high") if sign > 0 else ("high", "low")
    worst, best = (_number(before, end) for end in ends)
    if worst is not None and best is not None:
        worse, better, bound = sign * (found - worst) < -EQUAL, sign * (found - best) > EQUAL, worst
    else:
        worst, best = (_number(now or {}, end) for end in ends)
        low = found if worst is None else worst
        high = found if best is None else best
        worse, better = sign * (expected - high) > EQUAL, sign * (expected - low) < -EQUAL
        bound = expected
    return Verdict(
        name, expected, found, bound, "worse" if worse else "better" if better else "same"
    )


def _number(figure: Mapping[str, Any], key: str) -> float | None:
    """A number of a figure; None where it is absent, null or NaN."""
    value = figure.get(key)
    return None if value is None or value != value else float(value)
