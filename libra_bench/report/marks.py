"""Marking what two reports share, without touching a character of them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources

from libra_bench.core.records import Example, Prediction

WORD = re.compile(r"\w+")
# Words that any two reports share; marking them would mark everything.
COMMON = frozenset(
    WORD.findall(
        "a an and are as at be been by for from has have in is it its no not of on or over seen "
        "than that the there this to was were which with without"
    )
)


@dataclass(frozen=True)
class Span:
    """A stretch of text and what it is: `""`, `shared`, `temporal` or `temporal shared`."""

    text: str
    kind: str


@cache
def temporal_keywords() -> frozenset[str]:
    """The words of temporal F1, from the constants of the metric."""
    file = resources.files("libra_bench.metrics") / "constants" / "temporal_keywords.json"
    return frozenset(json.loads(file.read_text(encoding="utf-8")))


def spans(text: str, other: str) -> list[Span]:
    """`text` in stretches; joined they are `text` again.

    Shared is a word that stands in `other` as well, function words aside; temporal is a keyword
    of temporal F1.
    """
    there = {word.lower() for word in WORD.findall(other)}
    found: list[Span] = []
    end = 0
    for match in WORD.finditer(text):
        word = match[0].lower()
        kinds = ["temporal"] if word in temporal_keywords() else []
        if word in there and word not in COMMON:
            kinds.append("shared")
        if kinds:
            if match.start() > end:
                found.append(Span(text[end : match.start()], ""))
            found.append(Span(match[0], " ".join(kinds)))
            end = match.end()
    if end < len(text):
        found.append(Span(text[end:], ""))
    return found


@dataclass(frozen=True)
class Pair:
    """One report and its reference, ready to be laid side by side."""

    example: Example
    rank: str
    """`best`, `median` or `worst`."""
    score: float
    reference: list[Span]
    prediction: list[Span]


def pair(example: Example, prediction: Prediction, rank: str, score: float) -> Pair:
    """The two texts of one report with what they share marked."""
    return Pair(
        example=example,
        rank=rank,
        score=score,
        reference=spans(example.reference, prediction.text),
        prediction=spans(prediction.text, example.reference),
    )
