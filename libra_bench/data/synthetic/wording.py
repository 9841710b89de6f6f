"""Reports of the synthetic cohort: what is there and, beside a prior, what became of it."""

from __future__ import annotations

import numpy as np

from libra_bench.data.synthetic.course import Findings

SIDES = ("right", "left")
SIZES = ("small", "moderate", "large")
DEGREES = ("mild", "moderate", "severe")
INDICATIONS = (
    "cough and fever",
    "shortness of breath",
    "chest pain",
    "follow up of pleural effusion",
    "evaluate for pneumonia",
    "status post fall",
    "dyspnea on exertion",
    "preoperative evaluation",
    "evaluate for pneumothorax",
    "hypoxia",
)


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
    ]
    if before is not None and now == before and now.normal:
        sentences.insert(0, _one(rng, "There is no change since the prior study.", _UNCHANGED))
    return " ".join(sentences)


_UNCHANGED = "The appearance of the chest is unchanged."


def impression_text(now: Findings, before: Findings | None) -> str:
    """The impression section: the findings in a few words."""
    parts = []
    for side in SIDES:
        if grade := getattr(now, f"pneumothorax_{side}"):
            parts.append(f"{SIZES[grade - 1]} {side} pneumothorax")
        if grade := getattr(now, f"effusion_{side}"):
            parts.append(f"{SIZES[grade - 1]} {side} pleural effusion")
        if getattr(now, f"opacity_{side}"):
            parts.append(f"{side} lung opacity")
    if now.cardiomegaly:
        parts.append(f"{DEGREES[now.cardiomegaly - 1]} cardiomegaly")
    if not parts:
        return "No acute cardiopulmonary process."
    return (", ".join(parts) + ".").capitalize()


def _devices(now: Findings, before: Findings | None, rng: np.random.Generator) -> list[str]:
    sentences = []
    if now.tube:
        place = "in standard position"
        known = before is not None and before.tube
        sentences.append(
            _one(
                rng,
                f"Endotracheal tube is {'unchanged ' if known else ''}{place}.",
                f"The endotracheal tube remains {place}."
                if known
                else f"There is an endotracheal tube {place}.",
            )
        )
    elif before is not None and before.tube:
        sentences.append("There has been removal of the endotracheal tube.")
    if now.pacemaker:
        new = before is not None and not before.pacemaker
        sentences.append(
            "There is a new left pacemaker." if new else "A left pacemaker is in place."
        )
    return sentences


def _lungs(now: Findings, before: Findings | None, rng: np.random.Generator) -> list[str]:
    sentences = []
    for side in SIDES:
        grade = getattr(now, f"opacity_{side}")
        earlier = getattr(before, f"opacity_{side}") if before else None
        noun = f"{side} lower lung opacity"
        sentences += _graded(noun, DEGREES, grade, earlier, rng)
    if now.nodule:
        side = SIDES[1] if now.nodule == 1 else SIDES[0]
        change = "Stable" if before is not None and before.nodule == now.nodule else "There is a"
        sentences.append(f"{change} {side} upper lung nodule.")
    if not (now.opacity_left or now.opacity_right):
        sentences.append(_one(rng, "The lungs are clear.", "There is no focal consolidation."))
    return sentences


def _pleura(now: Findings, before: Findings | None, rng: np.random.Generator) -> list[str]:
    sentences = []
    for side in SIDES:
        for name in ("effusion", "pneumothorax"):
            noun = f"{side} pleural effusion" if name == "effusion" else f"{side} {name}"
            grade = getattr(now, f"{name}_{side}")
            earlier = getattr(before, f"{name}_{side}") if before else None
            sentences += _graded(noun, SIZES, grade, earlier, rng)
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
    if not now.cardiomegaly:
        shrunk = before is not None and before.cardiomegaly
        if shrunk:
            return "The heart is smaller and now normal in size."
        return _one(rng, "The heart size is normal.", "Heart is normal in size.")
    degree = DEGREES[now.cardiomegaly - 1]
    degree_adverb = {"mild": "mildly", "moderate": "moderately", "severe": "severely"}[degree]
    if before is None:
        return f"The heart is {degree_adverb} enlarged."
    if now.cardiomegaly == before.cardiomegaly:
        return _one(
            rng,
            f"The heart remains {degree_adverb} enlarged, unchanged.",
            f"Stable {degree} cardiomegaly.",
        )
    change = "larger" if now.cardiomegaly > before.cardiomegaly else "smaller"
    return f"The heart is {change} and {degree_adverb} enlarged."


def _graded(
    noun: str,
    words: tuple[str, ...],
    grade: int,
    earlier: int | None,
    rng: np.random.Generator,
) -> list[str]:
    """Sentences on a graded finding; `earlier` is None where there is no prior."""
    if grade == 0:
        if not earlier:
            return []
        return [_one(rng, f"The {noun} has resolved.", f"There is resolution of the {noun}.")]
    sized = f"{words[grade - 1]} {noun}"
    if earlier is None:
        return [_one(rng, f"There is a {sized}.", f"A {sized} is present.")]
    if earlier == 0:
        return [_one(rng, f"There is a new {sized}.", f"A {sized} is new.")]
    if grade == earlier:
        return [_one(rng, f"A {sized} is unchanged.", f"A {sized} is stable.")]
    if grade > earlier:
        return [_one(rng, f"A {sized} has increased.", f"A {sized} is worse.")]
    return [_one(rng, f"A {sized} has decreased.", f"A {sized} has improved.")]


def _one(rng: np.random.Generator, *choices: str) -> str:
    return choices[int(rng.integers(len(choices)))]
