"""Reports of the synthetic cohort: what is there and, beside a prior, what became of it.

The words of change follow from the finding, its change and its grade, and only the turn of the
sentence is drawn: whoever sees both images can know every temporal keyword, whoever sees the
current one alone cannot.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from libra_bench.data.synthetic.course import Findings

SIDES = ("right", "left")
SIZES = ("small", "moderate", "large")
DEGREES = ("mild", "moderate", "severe")
ADVERBS = ("mildly", "moderately", "severely")
INDICATIONS = (
    "cough and fever",
    "shortness of breath",
    "chest pain",
    "known pleural effusion",
    "suspected pneumonia",
    "a fall",
    "dyspnea on exertion",
    "planned surgery",
    "suspected pneumothorax",
    "hypoxia",
    "altered mental status",
    "leukocytosis",
    "recent intubation",
    "congestive heart failure",
)
NOUNS: Mapping[str, tuple[str, tuple[str, ...]]] = MappingProxyType(
    {
        "opacity": ("lower lung opacity", DEGREES),
        "effusion": ("pleural effusion", SIZES),
        "pneumothorax": ("pneumothorax", SIZES),
    }
)
"""What stands on a side, by its name in `Findings`, and the words of its grades."""

_NEW = ("There is a new {sized}.", "A {sized} is new.")


def _has(word: str) -> tuple[str, str]:
    return f"A {{sized}} has {word}.", f"The {{noun}} has {word} and is now {{size}}."


def _being(word: str) -> tuple[str, str]:
    article = "an" if word[0] in "aeiou" else "a"
    return (
        f"There is {article} {word} {{noun}}, now {{size}}.",
        f"{article.capitalize()} {word} {{sized}} is seen.",
    )


def _gone(word: str) -> tuple[str, str]:
    return f"The {{noun}} has {word}.", f"The previously seen {{noun}} has {word}."


# Finding → change → grade now → two turns of one statement with the same temporal keyword.
_CHANGES: Mapping[str, Mapping[str, Mapping[int, tuple[str, str]]]] = MappingProxyType(
    {
        "effusion": {
            "new": {1: _NEW, 2: _NEW, 3: _NEW},
            "same": dict.fromkeys((1, 2, 3), ("A {sized} is unchanged.", "Unchanged {sized}.")),
            "worse": {2: _has("increased"), 3: _being("increasing")},
            "better": {1: _has("decreased"), 2: _being("decreasing")},
            "gone": {0: _gone("resolved")},
        },
        "opacity": {
            "new": {1: _NEW, 2: _NEW, 3: _NEW},
            "same": {
                1: ("A {sized} is stable.", "Stable {sized}."),
                2: ("There is a persistent {sized}.", "A persistent {sized} is seen."),
                3: ("There is a persisting {sized}.", "A persisting {sized} is seen."),
            },
            "worse": {2: _has("worsened"), 3: _being("worsening")},
            "better": {1: _has("improved"), 2: _being("improving")},
            "gone": {0: _gone("cleared")},
        },
        "pneumothorax": {
            "new": {1: _NEW, 2: _NEW},
            "same": {
                1: ("A {sized} is constant in size.", "The {sized} remains constant in size."),
                2: ("A {sized} is unaltered.", "Unaltered {sized}."),
            },
            "worse": {2: ("The {noun} is larger and now {size}.", "A larger {noun}, now {size}.")},
            "better": {
                1: ("The {noun} is smaller and now {size}.", "A smaller {noun}, now {size}.")
            },
            "gone": {0: ("There is resolution of the {noun}.", "Resolution of the {noun}.")},
        },
    }
)
_HEART: Mapping[str, Mapping[int, tuple[str, str]]] = MappingProxyType(
    {
        "new": {
            grade: (f"There is new {degree} cardiomegaly.", f"New {degree} cardiomegaly.")
            for grade, degree in enumerate(DEGREES, start=1)
        },
        "same": {
            1: ("Stable mild cardiomegaly.", "Mild cardiomegaly is stable."),
            2: ("Unchanged moderate cardiomegaly.", "Moderate cardiomegaly is unchanged."),
            3: ("Persistent severe cardiomegaly.", "Severe cardiomegaly is persistent."),
        },
        "worse": {
            2: ("The heart is bigger, with moderate cardiomegaly.", "Bigger heart, moderate "
                "cardiomegaly."),
            3: ("Progression to severe cardiomegaly.", "There is progression to severe "
                "cardiomegaly."),
        },
        "better": {
            1: ("Reduced, now mild cardiomegaly.", "Cardiomegaly is reduced and now mild."),
            2: ("Improvement to moderate cardiomegaly.", "There is improvement to moderate "
                "cardiomegaly."),
        },
        "gone": {0: ("The heart is smaller and now normal in size.", "The heart size is smaller "
                     "and now normal.")},
    }
)  # fmt: skip


def change(now: int, before: int) -> str:
    """What became of a finding between two grades; empty where there was and is nothing."""
    if now == 0:
        return "gone" if before else ""
    if before == 0:
        return "new"
    return "same" if now == before else "worse" if now > before else "better"


def findings_text(now: Findings, before: Findings | None, rng: np.random.Generator) -> str:
    """The findings section.

    Args:
        before: the state on the prior image; None where the report has nothing to compare with.
    """
    sentences = [
        *_devices(now, before, rng),
        *_lungs(now, before, rng),
        *_pleura(now, before, rng),
        _heart(now, before, rng),
        _one(rng, "The mediastinal contours are normal.", "Normal mediastinal contours."),
    ]
    if rng.random() < 0.5:
        sentences.append("No acute osseous abnormality.")
    if before is not None and now == before and now.normal:
        sentences.insert(
            0,
            _one(
                rng,
                "There is no change since the prior study.",
                "No change from the prior radiograph.",
            ),
        )
    return " ".join(sentences)


def impression_text(now: Findings, before: Findings | None) -> str:
    """The impression section: the findings in a few words, and what became of the worst."""
    parts = []
    for side in SIDES:
        for name in ("pneumothorax", "effusion"):
            noun, words = NOUNS[name]
            if grade := getattr(now, f"{name}_{side}"):
                parts.append(f"{words[grade - 1]} {side} {noun}")
        if getattr(now, f"opacity_{side}"):
            parts.append(f"{side} lung opacity")
    if now.cardiomegaly:
        parts.append(f"{DEGREES[now.cardiomegaly - 1]} cardiomegaly")
    if not parts:
        since = "" if before is None or before.normal else " Previous findings are gone."
        return f"No acute cardiopulmonary process.{since}"
    return (", ".join(parts) + ".").capitalize()


def _devices(now: Findings, before: Findings | None, rng: np.random.Generator) -> list[str]:
    sentences = []
    place = "in standard position"
    if now.tube:
        if before is None:
            turns = (f"Endotracheal tube is {place}.", f"There is an endotracheal tube {place}.")
        elif before.tube:
            turns = (
                f"Endotracheal tube is unchanged {place}.",
                f"Unchanged endotracheal tube {place}.",
            )
        else:
            turns = (
                f"New endotracheal tube {place}.",
                f"There is a new endotracheal tube {place}.",
            )
        sentences.append(_one(rng, *turns))
    elif before is not None and before.tube:
        sentences.append(
            _one(
                rng,
                "There has been removal of the endotracheal tube.",
                "Interval removal of the endotracheal tube.",
            )
        )
    if now.pacemaker:
        new = before is not None and not before.pacemaker
        turns = (
            ("There is a new left pacemaker.", "New left pacemaker.")
            if new
            else ("A left pacemaker is in place.", "Left pacemaker in place.")
        )
        sentences.append(_one(rng, *turns))
    return sentences


def _lungs(now: Findings, before: Findings | None, rng: np.random.Generator) -> list[str]:
    sentences = _graded("opacity", now, before, rng)
    if now.nodule:
        noun = f"{SIDES[1] if now.nodule == 1 else SIDES[0]} upper lung nodule"
        known = before is not None and before.nodule == now.nodule
        turns = (
            (f"Stable {noun}.", f"A {noun} is stable.")
            if known
            else (f"There is a {noun}.", f"A {noun} is seen.")
        )
        sentences.append(_one(rng, *turns))
    if not (now.opacity_left or now.opacity_right):
        sentences.append(_one(rng, "The lungs are clear.", "There is no focal consolidation."))
    return sentences


def _pleura(now: Findings, before: Findings | None, rng: np.random.Generator) -> list[str]:
    sentences = [
        *_graded("effusion", now, before, rng),
        *_graded("pneumothorax", now, before, rng),
    ]
    effusion = now.effusion_left or now.effusion_right
    air = now.pneumothorax_left or now.pneumothorax_right
    if not effusion and not air:
        sentences.append(
            _one(
                rng,
                "There is no pleural effusion or pneumothorax.",
                "No pleural effusion or pneumothorax is seen.",
            )
        )
    elif not effusion:
        sentences.append("There is no pleural effusion.")
    elif not air:
        sentences.append("There is no pneumothorax.")
    return sentences


def _heart(now: Findings, before: Findings | None, rng: np.random.Generator) -> str:
    grade = now.cardiomegaly
    earlier = 0 if before is None else before.cardiomegaly
    if not grade and not earlier:
        return _one(rng, "The heart size is normal.", "Heart is normal in size.")
    if before is None:
        degree = DEGREES[grade - 1]
        return _one(
            rng, f"The heart is {ADVERBS[grade - 1]} enlarged.", f"There is {degree} cardiomegaly."
        )
    return _one(rng, *_HEART[change(grade, earlier)][grade])


def _graded(
    name: str, now: Findings, before: Findings | None, rng: np.random.Generator
) -> list[str]:
    """Sentences on a finding that may stand on either side."""
    sentences = []
    place, words = NOUNS[name]
    for side in SIDES:
        grade = getattr(now, f"{name}_{side}")
        noun, size = f"{side} {place}", words[grade - 1] if grade else ""
        if before is None:
            turns: tuple[str, ...] = ("There is a {sized}.", "A {sized} is present.")
            happened = "seen" if grade else ""
        else:
            happened = change(grade, getattr(before, f"{name}_{side}"))
            turns = _CHANGES[name][happened][grade] if happened else ()
        if happened:
            sentence = _one(rng, *turns)
            sentences.append(sentence.format(noun=noun, size=size, sized=f"{size} {noun}"))
    return sentences


def _one(rng: np.random.Generator, *choices: str) -> str:
    return choices[int(rng.integers(len(choices)))]
