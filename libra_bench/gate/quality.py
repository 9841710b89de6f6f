"""What can be wrong with texts whatever they say: failed, empty, cut off, repeated, long or short.

A rise above its threshold fails where chance does not explain it: the two runs' values are
exchanged by patient, as for the figures, and the p-values are corrected (Holm). What the baseline
did not have at all needs no test, and a failed report is no matter of chance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from libra_bench.gate.baseline import Baseline
from libra_bench.gate.judgement import Judgement, Moved
from libra_bench.gate.settings import GateSettings
from libra_bench.stats.change import EQUAL
from libra_bench.stats.clusters import Clusters, Floats
from libra_bench.stats.resampling import CHUNK

SHARES = {
    "failed": "failed reports, %",
    "empty": "empty reports, %",
    "truncated": "truncated reports, %",
    "repeated": "repeated texts, %",
}
MOST = 5
"""Studies that are named."""


@dataclass(frozen=True)
class Tested:
    """A check and its p-value before correction; None where it needs none."""

    check: Judgement
    p: float | None

    def judgement(self, corrected: float, alpha: float) -> Judgement:
        """The check as decided."""
        if self.p is None or self.check.verdict != "worse":
            return self.check
        found = replace(self.check, p=corrected, p_raw=self.p)
        if corrected <= alpha:
            return replace(found, reason=f"{found.reason}, corrected p {corrected:.2g}")
        return replace(
            found, verdict="undecided", reason=f"{found.reason}, which chance may explain"
        )


def quality_checks(
    baseline: Baseline, now: Baseline, clusters: Clusters, settings: GateSettings
) -> tuple[list[Tested], list[str]]:
    """The checks of two runs on the same reports, and notes on those that cannot be made."""
    place = {key: row for row, key in enumerate(baseline.ids)}
    order = [place[key] for key in now.ids]
    _, patients = np.unique(np.asarray(clusters.labels), return_inverse=True)
    found, notes = [], []
    for name, title in SHARES.items():
        before, after = getattr(baseline.quality, name), getattr(now.quality, name)
        if before is None or after is None:
            if before is not None or after is not None:
                notes.append(f"{name} is not checked: one of the runs does not tell its tokens")
            continue
        one, two = (np.asarray(side, dtype=float) for side in (before, after))
        found.append(_share(name, title, one[order], two, patients, now.ids, settings))
    words = [np.asarray(side.quality.words, dtype=float) for side in (baseline, now)]
    found.append(_length(words[0][order], words[1], patients, now.ids, settings))
    return found, notes


def _share(
    name: str,
    title: str,
    before: Floats,
    now: Floats,
    patients: Any,
    ids: Sequence[str],
    settings: GateSettings,
) -> Tested:
    threshold = settings.threshold(name)
    rise = float(now.mean() - before.mean())
    check = Judgement(
        name=name,
        title=title,
        verdict="same",
        baseline=100 * float(before.mean()),
        current=100 * float(now.mean()),
        difference=100 * rise,
        margin=100 * threshold,
        higher_is_better=False,
        n=len(ids),
    )
    counted = name == "failed" or (name == "empty" and not before.any())
    p = None if counted else exchange(before, now, np.mean, patients, settings)
    if rise <= threshold + EQUAL:
        return Tested(check, p)
    new = [Moved(ids[int(row)], -100 / len(ids)) for row in np.flatnonzero(now > before)]
    reason = f"{int(now.sum())} of {len(ids)} reports, {int(before.sum())} in the baseline"
    return Tested(replace(check, verdict="worse", reason=reason, moved=tuple(new[:MOST])), p)


def _length(
    before: Floats, now: Floats, patients: Any, ids: Sequence[str], settings: GateSettings
) -> Tested:
    """The median number of words; longer and shorter both fail."""
    threshold = settings.threshold("length")
    there, here = float(np.median(before)), float(np.median(now))
    change = here - there
    check = Judgement(
        name="length",
        title="median words of a report",
        verdict="same",
        baseline=there,
        current=here,
        difference=change,
        margin=threshold * there,
        higher_is_better=None,
        digits=1,
        n=len(ids),
    )
    side = -1.0 if change < 0 else 1.0
    p = min(1.0, 2 * exchange(side * before, side * now, np.median, patients, settings))
    if abs(change) <= threshold * there + EQUAL:
        return Tested(check, p)
    gaps = side * (now - before)
    most = [int(row) for row in np.argsort(-gaps, kind="stable")[:MOST] if gaps[row] > 0]
    moved = tuple(Moved(ids[row], -float(gaps[row])) for row in most)
    word = "longer" if change > 0 else "shorter"
    reason = f"reports are {word}: {here:g} words, {there:g} in the baseline"
    return Tested(replace(check, verdict="worse", reason=reason, moved=moved), p)


def exchange(
    before: Floats,
    now: Floats,
    statistic: Callable[..., Any],
    patients: Any,
    settings: GateSettings,
) -> float:
    """One-sided p of `statistic` having risen, by exchanging patients between the runs.

    Args:
        before, now: [n] values of the same reports.
        statistic: of values along `axis`, for example `np.median`.
        patients: [n] numbers from 0.
    """
    if np.array_equal(before, now):
        return 1.0
    # Another stream than those of the figures.
    rng = np.random.default_rng([settings.seed, 2])
    observed, as_much = float(statistic(now) - statistic(before)), 0
    count = int(patients.max()) + 1
    for start in range(0, settings.trials, CHUNK):
        size = min(CHUNK, settings.trials - start)
        coins = rng.integers(0, 2, size=(size, count), dtype=np.int8).astype(bool)[:, patients]
        one, two = np.where(coins, now, before), np.where(coins, before, now)
        gaps = statistic(two, axis=1) - statistic(one, axis=1)
        as_much += int((gaps >= observed - EQUAL).sum())
    return (as_much + 1) / (settings.trials + 1)
