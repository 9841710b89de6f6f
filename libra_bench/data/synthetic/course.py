"""Latent findings, and how they develop from visit to visit."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

GRADED = {
    "cardiomegaly": 3,
    "effusion_left": 3,
    "effusion_right": 3,
    "opacity_left": 3,
    "opacity_right": 3,
    "pneumothorax_left": 2,
    "pneumothorax_right": 2,
}
"""Graded findings and their highest grade; 0 is absent."""
ONSET = {
    "cardiomegaly": 0.25,
    "effusion_left": 0.2,
    "effusion_right": 0.2,
    "opacity_left": 0.18,
    "opacity_right": 0.2,
    "pneumothorax_left": 0.06,
    "pneumothorax_right": 0.07,
}
WORSENS, IMPROVES = 0.28, 0.37
"""Chances of a present finding between two visits; otherwise it stays."""


@dataclass(frozen=True)
class Findings:
    """What is in the chest at one visit: the truth behind image and report.

    Grades: 0 none, then small or mild, moderate, large or severe.
    """

    cardiomegaly: int = 0
    effusion_left: int = 0
    effusion_right: int = 0
    opacity_left: int = 0
    opacity_right: int = 0
    pneumothorax_left: int = 0
    pneumothorax_right: int = 0
    nodule: int = 0
    """0 none, 1 in the left upper lung, 2 in the right upper lung."""
    tube: int = 0
    """1 where an endotracheal tube is in place."""
    pacemaker: int = 0

    @property
    def normal(self) -> bool:
        """Whether there is nothing to report."""
        return not any(getattr(self, field.name) for field in fields(self))


def first_visit(rng: np.random.Generator) -> Findings:
    """A patient's state when first seen; two in five are normal."""
    if rng.random() < 0.4:
        return Findings(pacemaker=int(rng.random() < 0.05))
    grades = {
        name: int(rng.integers(1, highest + 1)) if rng.random() < ONSET[name] else 0
        for name, highest in GRADED.items()
    }
    return _consistent(
        Findings(
            **grades,
            nodule=int(rng.integers(1, 3)) if rng.random() < 0.1 else 0,
            tube=int(rng.random() < 0.12),
            pacemaker=int(rng.random() < 0.08),
        )
    )


def next_visit(before: Findings, rng: np.random.Generator) -> Findings:
    """How it goes on: findings appear, grow, shrink by one grade, resolve or stay."""
    grades = {}
    for name, highest in GRADED.items():
        grade, chance = getattr(before, name), rng.random()
        if grade == 0:
            appears = chance < ONSET[name] * 0.6
            grades[name] = int(rng.integers(1, highest)) if appears and highest > 1 else 0
        elif chance < WORSENS:
            grades[name] = min(grade + 1, highest)
        elif chance < WORSENS + IMPROVES:
            grades[name] = grade - 1
        else:
            grades[name] = grade
    return _consistent(
        replace(
            before,
            **grades,
            tube=int(rng.random() < (0.5 if before.tube else 0.08)),
            pacemaker=int(before.pacemaker or rng.random() < 0.03),
        )
    )


def _consistent(findings: Findings) -> Findings:
    """A side with air in the pleural space shows no effusion here, so that each can be seen."""
    changes = {
        f"effusion_{side}": 0
        for side in ("left", "right")
        if getattr(findings, f"pneumothorax_{side}")
    }
    return replace(findings, **changes)
