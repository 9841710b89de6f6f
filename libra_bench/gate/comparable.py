"""May a run be held against a baseline? Same reports, same decoding, same metrics, or a refusal."""

from __future__ import annotations

from libra_bench.core.errors import InputError
from libra_bench.core.files import listing
from libra_bench.gate.baseline import Baseline
from libra_bench.metrics.signatures import differing_parts

MAY_DIFFER = ("n", "model", "resampled")
"""Other weights are what a check is about, and a failed report shows in `n`."""
NAMED = 5
"""Ids that are named."""
MEND = (
    "hold the run against a baseline of its own kind, or replace this one: "
    '`libra-bench baseline update --run DIR --output FILE --accept "reason"`'
)


class NotComparableError(InputError):
    """The run answers other reports, or in a way that makes other figures."""


def refuse_unlike(baseline: Baseline, now: Baseline) -> None:
    """Refuse a run that answers other reports, or in a way that makes other figures.

    Raises:
        NotComparableError: everything that differs, together, and what to do.
    """
    faults = _reports(baseline, now)
    if baseline.profile != now.profile:
        faults.append(f"profile {baseline.profile} there, {now.profile} here")
    if not faults and baseline.cohort_hash != now.cohort_hash:
        faults.append(
            "the same ids with other reference texts (the hashes of the cohorts differ)"
            + _other_references(baseline, now)
        )
    told = set()
    for name, (_, score) in now.scores.items():
        if name not in baseline.scores:
            continue
        before = baseline.scores[name][1]
        for part in differing_parts(before.signature, score.signature, MAY_DIFFER):
            # Decoding is one for all scores; it is said once.
            subject = "" if part.startswith("decoding ") else f"{name}: "
            if f"{subject}{part}" not in told:
                told.add(f"{subject}{part}")
                faults.append(f"{subject}{part}")
        if before.higher_is_better != score.higher_is_better:
            faults.append(f"{name}: one is better when higher, the other when lower")
    if faults:
        raise NotComparableError(
            "the run and its baseline are not comparable: " + listing(faults) + f"\nTo do: {MEND}"
        )


def _reports(baseline: Baseline, now: Baseline) -> list[str]:
    there, here = set(baseline.ids), set(now.ids)
    faults = []
    if not there & here:
        faults.append(
            f"no report in common: {len(there)} there ({listing(sorted(there)[:1])} ...), "
            f"{len(here)} here ({listing(sorted(here)[:1])} ...)"
        )
    else:
        faults += [f"id {key!r} only in the baseline" for key in baseline.ids if key not in here]
        faults += [f"id {key!r} only in the run" for key in now.ids if key not in there]
    return faults


def _other_references(baseline: Baseline, now: Baseline) -> str:
    """Ids whose reference has another mark, in words; eight bits miss one of 256."""
    if baseline.reference_marks is None or now.reference_marks is None:
        return ""
    before = dict(zip(baseline.ids, baseline.reference_marks, strict=True))
    other = [
        repr(key)
        for key, mark in zip(now.ids, now.reference_marks, strict=True)
        if mark != before[key]
    ]
    more = f" and {len(other) - NAMED} more" if len(other) > NAMED else ""
    return f": {', '.join(other[:NAMED])}{more}" if other else ""
