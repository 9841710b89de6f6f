"""What the gate is asked: figures, margins, the rate of false alarms, thresholds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from libra_bench.core.errors import InputError
from libra_bench.core.files import listing
from libra_bench.core.names import unknown_name

THRESHOLDS: dict[str, float] = {
    "failed": 0.0,
    "empty": 0.0,
    "truncated": 0.02,
    "repeated": 0.05,
    "length": 0.10,
    "time": 0.10,
    "memory": 0.05,
}
"""How much a quality may change: `length` is the median's, as a share of the baseline's; `time` and
`memory` are of a measurement, the same; the others are rises of a share of the reports."""
DEFAULT_TRIALS = 10_000


@dataclass(frozen=True)
class GateSettings:
    """How a run is judged."""

    metrics: Sequence[str] | None = None
    """Scores or metrics that gate; None for all of the baseline."""
    margins: Mapping[str, float] = field(default_factory=dict)
    """By score or metric: the fall that does not matter, in points of the score."""
    thresholds: Mapping[str, float] = field(default_factory=dict)
    """By name in `THRESHOLDS`, where they differ."""
    by: Sequence[str] = ()
    """Columns whose groups gate as well."""
    alpha: float = 0.05
    """Chance that a run which is no worse is called worse, over all that gates."""
    strict: bool = False
    """Whether what is undecided fails."""
    trials: int = DEFAULT_TRIALS
    seed: int = 0

    def check(self) -> None:
        """Refuse what cannot be used, before any file is read.

        Raises:
            InputError: numbers out of range, an unknown threshold; all are named.
        """
        faults = []
        if not 0 < self.alpha < 1:
            faults.append(f"alpha {self.alpha:g}: not in (0, 1)")
        if self.trials < 1:
            faults.append(f"trials {self.trials}: at least 1 was expected")
        if self.seed < 0:
            faults.append(f"seed {self.seed}: must not be negative")
        faults += [
            f"{kind} {name}={value:g}: a number of 0 or more was expected"
            for kind, given in (("margin", self.margins), ("threshold", self.thresholds))
            for name, value in given.items()
            if not (math.isfinite(value) and value >= 0)
        ]
        faults += [
            str(unknown_name("threshold", name, THRESHOLDS))
            for name in self.thresholds
            if name not in THRESHOLDS
        ]
        if faults:
            raise InputError(listing(faults))

    def fails(self, verdict: str) -> bool:
        """Whether a verdict makes the gate red."""
        return verdict == "worse" or (self.strict and verdict == "undecided")

    def threshold(self, name: str) -> float:
        """The threshold in force."""
        return self.thresholds.get(name, THRESHOLDS[name])

    def gated(self, scores: Mapping[str, str]) -> list[str]:
        """The scores that gate.

        Args:
            scores: the metric of each score there is.

        Raises:
            InputError: a metric or score that is not there.
        """
        if self.metrics is None:
            return list(scores)
        wanted = {name for one in self.metrics for name in _named("metric", one, scores)}
        return [name for name in scores if name in wanted]

    def margins_of(self, scores: Mapping[str, str]) -> dict[str, float]:
        """The margin by score; a score's own goes before its metric's.

        Raises:
            InputError: a margin for a metric or score that is not there.
        """
        found = dict.fromkeys(scores, 0.0)
        for own in (False, True):
            for name, value in self.margins.items():
                if (name in scores) is own:
                    found |= dict.fromkeys(_named("metric of a margin", name, scores), value)
        return found


def _named(kind: str, name: str, scores: Mapping[str, str]) -> list[str]:
    """The scores that a name stands for: itself, or those of a metric."""
    if name in scores:
        return [name]
    found = [score for score, metric in scores.items() if metric == name]
    if not found:
        raise unknown_name(kind, name, {*scores, *scores.values()})
    return found


def numbers(given: Iterable[str] | None, option: str) -> dict[str, float]:
    """`NAME=X` options by name.

    Raises:
        InputError: another form, or a name twice.
    """
    found: dict[str, float] = {}
    for text in given or ():
        name, _, number = (part.strip() for part in text.partition("="))
        try:
            value = float(number)
        except ValueError:
            raise InputError(f"{option} {text!r}: NAME=NUMBER was expected") from None
        if not name or name in found:
            raise InputError(f"{option} {text!r}: {'named twice' if name else 'no name in it'}")
        found[name] = value
    return found
