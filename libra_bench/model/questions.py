"""The question in the words of the model that is asked."""

from __future__ import annotations

import re

from libra_bench.core.records import Example

MAIRA_2 = "maira_2"
"""The conversation mode of MAIRA-2, which knows one form of question alone."""
MAIRA_QUESTION = (
    "Provide a description of the findings in the radiology study in comparison to the prior "
    "frontal image."
)
LIBRAS_OWN = re.compile(r"Provide a detailed description of the \w+ in the radiology image\b")
SECTIONS = ("indication", "technique", "comparison")
NAMED = re.compile(r"\b(Indication|History|Technique|Comparison|Examination):\s*", re.IGNORECASE)


def question_of(example: Example, mode: str) -> str:
    """The question to put to a model in a conversation mode.

    MAIRA-2 was trained on one sentence with three sections behind it, each `None.` where unknown
    (X-iZhang/Libra, README). A question of Libra's form is put in that form, with the example's own
    sections or those in its text; a question of another form is left as it is.
    """
    if mode != MAIRA_2 or not LIBRAS_OWN.match(example.text):
        return example.text
    said = _sections(example.text)
    parts = [MAIRA_QUESTION]
    for name in SECTIONS:
        text = " ".join((example.extra(name) or said.get(name, "")).split())
        parts.append(f"{name.upper()}: {text or 'None.'}")
    return " ".join(parts)


def _sections(text: str) -> dict[str, str]:
    """The clinical context of a question, by section."""
    pieces = NAMED.split(text)
    return {
        name.lower(): said.strip()
        for name, said in zip(pieces[1::2], pieces[2::2], strict=True)
        if said.strip()
    }
