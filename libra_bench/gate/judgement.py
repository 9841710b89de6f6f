"""What the gate answers: a verdict for each figure and check, and one for the whole."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

Verdict = Literal["same", "better", "worse", "undecided"]


@dataclass(frozen=True)
class Moved:
    """One study that moved a figure to the bad side."""

    id: str
    influence: float
    """The figure less what it would be were this study as in the baseline; below 0 is worse,
    whatever the figure's direction."""
    text: str | None = None
    reference: str | None = None


@dataclass(frozen=True)
class Judgement:
    """One figure, or one check of quality or speed, against the baseline."""

    name: str
    """Unique: `bleu4`, `bleu4@view=PA`, `empty`."""
    title: str
    verdict: Verdict
    baseline: float | None
    current: float | None
    difference: float | None = None
    """Current minus baseline."""
    low: float | None = None
    high: float | None = None
    p: float | None = None
    """One-sided, corrected over all that gates: of a change beyond the margin, to the side on which
    the difference lies."""
    p_raw: float | None = None
    """The same, not corrected."""
    margin: float = 0.0
    detectable: float | None = None
    """The smallest fall that as many reports would have shown with 80 % power."""
    higher_is_better: bool | None = True
    """None where neither is: the length of reports."""
    group: str | None = None
    """The part of the cohort, `view=PA`; None for all of it."""
    n: int | None = None
    """Reports behind it."""
    clusters: int | None = None
    unit: str = ""
    digits: int = 2
    """Decimals that people are shown."""
    reason: str = ""
    moved: tuple[Moved, ...] = ()
    """The studies behind a failure, those that moved most first."""


@dataclass(frozen=True)
class Outcome:
    """The answer of the gate."""

    baseline: str
    """What the run was held against, in words."""
    run: str
    alpha: float
    strict: bool
    figures: list[Judgement] = field(default_factory=list)
    checks: list[Judgement] = field(default_factory=list)
    """Quality of the texts, and speed."""
    notes: list[str] = field(default_factory=list)

    @property
    def all(self) -> list[Judgement]:
        """Figures and checks."""
        return [*self.figures, *self.checks]

    @property
    def verdict(self) -> Verdict:
        """Worse where anything is, else undecided where anything is, else better, else same."""
        return worst(one.verdict for one in self.all)

    def fails(self, one: Judgement) -> bool:
        """Whether this one makes the gate red."""
        return one.verdict == "worse" or (self.strict and one.verdict == "undecided")

    @property
    def failing(self) -> list[Judgement]:
        """Everything that makes the gate red."""
        return [one for one in self.all if self.fails(one)]

    def joined(self, others: Iterable[Outcome]) -> Outcome:
        """With the figures, checks and notes of others that were judged by the same settings."""
        parts = [self, *others]
        return replace(
            self,
            run=", ".join(one.run for one in parts),
            baseline=", ".join(one.baseline for one in parts),
            figures=[figure for one in parts for figure in one.figures],
            checks=[check for one in parts for check in one.checks],
            notes=[note for one in parts for note in one.notes],
        )

    def as_json(self) -> dict[str, Any]:
        """As `check --json` prints it."""
        return {
            "verdict": self.verdict,
            "failed": bool(self.failing),
            "alpha": self.alpha,
            "strict": self.strict,
            "run": self.run,
            "baseline": self.baseline,
            "figures": [asdict(one) for one in self.figures],
            "checks": [asdict(one) for one in self.checks],
            "notes": self.notes,
        }


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict over several."""
    found = set(verdicts)
    order: tuple[Verdict, ...] = ("worse", "undecided", "better")
    return next((one for one in order if one in found), "same")
