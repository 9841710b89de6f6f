"""Findings read back from a report of the synthetic cohort, or of a model that learned from it.

On the cohort's own findings sections the reading is exact, so a model's *finding accuracy* is the
share of findings of the latent truth that its texts state rightly.
"""

from __future__ import annotations

import re
from dataclasses import fields

from libra_bench.data.synthetic.course import Findings
from libra_bench.data.synthetic.wording import ADVERBS, DEGREES, NOUNS, SIDES

_GONE = re.compile(r"\b(?:resolved|resolution|cleared|removal)\b")


def findings_of(text: str) -> Findings:
    """What a report says is there, whatever it says of change.

    Args:
        text: a findings section; what it does not mention counts as absent.
    """
    grades: dict[str, int] = {}
    for sentence in re.split(r"(?<=[.!?])\s+", " ".join(text.lower().split())):
        if _GONE.search(sentence):
            continue
        for name, (noun, words) in NOUNS.items():
            for side in SIDES:
                if f"{side} {noun}" in sentence:
                    grades[f"{name}_{side}"] = _grade(sentence, words)
        if "cardiomegaly" in sentence or "enlarged" in sentence:
            grades["cardiomegaly"] = max(_grade(sentence, DEGREES), _grade(sentence, ADVERBS))
        for side in SIDES:
            if f"{side} upper lung nodule" in sentence:
                grades["nodule"] = 1 if side == "left" else 2
        if "endotracheal tube" in sentence:
            grades["tube"] = 1
        if "pacemaker" in sentence:
            grades["pacemaker"] = 1
    return Findings(**grades)


def accuracy(said: Findings, truth: Findings) -> float:
    """Share of the findings that are said rightly, grade and side included, 0 to 1."""
    names = [field.name for field in fields(Findings)]
    return sum(getattr(said, name) == getattr(truth, name) for name in names) / len(names)


def _grade(sentence: str, words: tuple[str, ...]) -> int:
    """The highest grade that a sentence names; 0 for none."""
    found = [
        grade for grade, word in enumerate(words, start=1) if re.search(rf"\b{word}\b", sentence)
    ]
    return max(found, default=0)
