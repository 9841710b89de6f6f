"""ReXrank's `context` taken apart: age, sex, and the sections that a question may carry.

The files write it in several ways, often without a blank between the parts:

    Age:77.0.Gender:F.Indication:nanComparison: None.
    Age:50-60.Gender:M.Indication: ___-year-old man, fever.Comparison: ___.
    Indication: Chest pain, dyspnea Comparison: None.
    <context>History: cough.</context>
"""

from __future__ import annotations

import re

# A header's words (in small letters) and the section that they open.
HEADERS = {
    "indication": "indication",
    "indications": "indication",
    "clinical indication": "indication",
    "clinical indications": "indication",
    "history": "history",
    "clinical history": "history",
    "clinical information": "history",
    "medical history": "history",
    "past medical history": "history",
    "patient history": "history",
    "technique": "technique",
    "comparison": "comparison",
    "comparisons": "comparison",
}
NOTHING = frozenset({"", "nan", "<na>", "null"})
_FRAME = re.compile(r"</?context>", re.IGNORECASE)
_WORDS = "|".join(sorted((name.replace(" ", r"\s+") for name in HEADERS), key=len, reverse=True))
# A header begins with a capital, and then may follow a word without a blank (`PNAComparison:`);
# in small letters it is one only where a line or a sentence begins. Inside a sentence
# (`dyspnea, comparison: last film`) it is text.
_HEADER = re.compile(
    rf"(?:(?P<begin>^\s*|[.!?]\s+|\n\s*)|(?<![A-Z])(?=[A-Z]{{2}})|(?=[A-Z][a-z]))"
    rf"(?P<name>(?i:{_WORDS}))\s*:\s*"
)
# Age and sex are values, not sections: what follows them is the text they stand in.
_VALUES = {
    "age": re.compile(
        r"\bAge\s*:\s*(?P<value>nan|none|unknown|[<>]?=?\s?\d{1,3}(?:\.\d+)?(?:\s?-\s?\d{1,3})?\+?"
        r"(?:\s?(?:years?|yrs?|months?|y/?o|y|m)(?:\s?old)?\b)?)\s*(?:[.,;]|(?=[A-Z])|$|(?=\s))",
        re.IGNORECASE,
    ),
    "sex": re.compile(
        r"(?:\b|(?<=\d)|(?<=\.)|(?<=nan))(?:Gender|Sex)\s*:\s*"
        r"(?P<value>nan|none|unknown|other|female|male|[FMOU])\s*"
        r"(?:[.,;]|(?=[A-Z])|$|(?=\s))",
        re.IGNORECASE,
    ),
}
# At the beginning whatever stands between them and the next header is the value, be it what a
# spreadsheet made of a range (`Age:20-Oct.Gender:F.`).
_NEXT = rf"\.?(?=\s*(?:(?:Age|Gender|Sex|(?i:{_WORDS}))\s*:|$))"
_FIRST = {
    "age": re.compile(rf"^\s*Age\s*:\s*(?P<value>[^:.\n]{{1,24}}?)\s*{_NEXT}"),
    "sex": re.compile(rf"^\s*(?:Gender|Sex)\s*:\s*(?P<value>[^:.\n]{{1,24}}?)\s*{_NEXT}"),
}
_WHOLE = re.compile(r"(\d+)\.0+")


def sections(context: str) -> dict[str, str]:
    """The parts of a context by name: `indication`, `history`, `technique`, `comparison`, and
    `age` and `sex`.

    Text before any header is the indication. A header that comes again adds its text to the
    first's. `nan` is nothing. Nothing else is changed.
    """
    text, found = _values(_FRAME.sub(" ", context))
    parts: dict[str, list[str]] = {}
    name, start = "indication", 0
    for header in _HEADER.finditer(text):
        # The end of the sentence before belongs to that sentence.
        begin = header.start() + len((header["begin"] or "").rstrip())
        parts.setdefault(name, []).append(text[start:begin])
        name = HEADERS[" ".join(header["name"].lower().split())]
        start = header.end()
    parts.setdefault(name, []).append(text[start:])
    for name, bodies in parts.items():
        told = [body.strip() for body in bodies if _told(body)]
        if told:
            found[name] = " ".join(told)
    return found


def _values(context: str) -> tuple[str, dict[str, str]]:
    """The context without age and sex, and what they are."""
    found = {}
    for name, pattern in _VALUES.items():
        match = pattern.search(context)
        if match is None or not _is_value(match):
            match = _FIRST[name].search(context)
        if match is None:
            continue
        value = match["value"].strip()
        if _told(value) and value.lower() not in ("none", "unknown"):
            found[name] = whole[1] if (whole := _WHOLE.fullmatch(value)) else value
        context = context[: match.start()] + context[match.end() :]
    return context, found


def _is_value(match: re.Match[str]) -> bool:
    """Whether it is written as these files write it, with a capital, and not a part of a text."""
    return match[0].lstrip()[0].isupper()


def _told(text: str) -> bool:
    return text.strip(" \t\r\n.,;").lower() not in NOTHING
