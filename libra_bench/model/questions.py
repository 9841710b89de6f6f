"""The question in the words of the model that is asked."""

from __future__ import annotations

import re

from libra_bench.core.records import Example
from libra_bench.model import maira

MAIRA_2 = "maira_2"
"""The conversation mode of MAIRA-2, which knows one form of question alone."""
LIBRAS_OWN = re.compile(r"Provide a detailed description of the \w+ in the radiology image\b")
SECTIONS = ("indication", "technique", "comparison")
NAMED = re.compile(r"\b(Indication|History|Technique|Comparison|Examination):\s*", re.IGNORECASE)


def question_of(example: Example, mode: str) -> str:
    """The question to put to a model in a conversation mode.

    MAIRA-2 was trained on one sentence with three sections behind it, each `None.` where unknown
    (X-iZhang/Libra, README). A question of Libra's form is put in that form, with the example's own
    sections or those in its text; a question of another form is left as it is. In MAIRA-2's own
    form the images stand in the question, and a missing section is `N/A`.
    """
    ours = LIBRAS_OWN.match(example.text)
    if mode == maira.CONVERSATION:
        if not ours:
            return maira.question(example, {}, example.text)
        return maira.question(example, _known(example))
    if mode != MAIRA_2 or not ours:
        return example.text
    said = _known(example)
    parts = [maira.QUESTION]
    parts += [f"{name.upper()}: {said[name] or 'None.'}" for name in SECTIONS]
    return " ".join(parts)


def images_of(example: Example, mode: str) -> dict[str, str]:
    """Names of an example's images by what they show to a model in a conversation mode."""
    if mode == maira.CONVERSATION:
        return maira.views(example)
    return dict(zip(("current", "prior"), example.image, strict=False))


def _known(example: Example) -> dict[str, str]:
    """The three sections, from the example's own fields or the question's text; empty: unknown."""
    said = _sections(example.text)
    texts = {name: example.extra(name) or said.get(name, "") for name in SECTIONS}
    return {name: " ".join(text.split()) for name, text in texts.items()}


def _sections(text: str) -> dict[str, str]:
    """The clinical context of a question, by section."""
    pieces = NAMED.split(text)
    return {
        name.lower(): said.strip()
        for name, said in zip(pieces[1::2], pieces[2::2], strict=True)
        if said.strip()
    }
