"""Sentences of clinical text: the rules' marks, and what becomes of them."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libra_bench.metrics.sentences.rules import Mark, Rule, Rules
from libra_bench.metrics.sentences.split import (
    _close_ends,
    _close_gap,
    first_tokens,
    sentences,
    spans,
)

pytest.importorskip("spacy")


def marks(text: str, *patterns: str, marking: bool = True) -> list[str]:
    rules = Rules(Rule(pattern, of_end=False, marks=marking) for pattern in patterns)
    return [text[begin:end] for begin, end in rules.marks(text)[0]]


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        (r"(\C)", "a Big Dog", ["B", "D"]),
        (r"\c.\s+(\C)", "end.  New", ["N"]),  # what is marked is what the brackets hold
        (r"(\d+)", "a 12 b", ["12"]),  # the widest of what overlaps
        (r"x(\d+", "x42y", ["42"]),  # without ) up to the end of the match
        # The first mark of a text counts as one shorter than it is, so its last a is free.
        (r"(a+)b", "caaab", ["aaa", "a"]),
        (r"(a+)b", "ab caaab", ["a", "aaa"]),
        (r"\b(\c", "ab", ["a"]),  # only at the start
        (r"\d(%)\e", "5%", []),  # nothing but a rule's end is looked for behind the last character
        (r"\d%\e", "5%", ["5%"]),
        (r"\(\d", "(1", ["(1"]),
    ],
)
def test_a_pattern_marks(pattern: str, text: str, expected: list[str]) -> None:
    assert marks(text, pattern) == expected


def test_a_wider_overruling_mark_takes_the_place_of_a_narrower_one() -> None:
    rules = [Rule(r"(\C)", of_end=False, marks=True), Rule(r"Dr. \C", of_end=False, marks=False)]
    # D is marked on its own first; "Dr. S" covers it and the S behind, and marks nothing.
    assert Rules(rules).marks("Dr. Smith")[0] == []
    assert [mark.begin for mark in Rules(rules).marks("Mr. Smith")[0]] == [0, 4]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("No effusion. Heart is normal.", ["No effusion.", "Heart is normal."]),
        ("Tube 1.5 cm above. Dr. Smith saw it.", ["Tube 1.5 cm above.", "Dr. Smith saw it."]),
        ("FINDINGS:\n\nNo effusion.", ["FINDINGS:", "No effusion."]),
        ("no capitals. none at all", ["no capitals.", "none at all"]),
        ("", []),
        (" \n ", []),
        ("中文报告。没有异常。", ["中文报告。没有异常", "。"]),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@given(st.text(alphabet="aB1. \n?!()-*:\"'é中%", max_size=60))
def test_nothing_but_white_space_is_lost(text: str) -> None:
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())


@given(st.text(alphabet="aB1. \n?!()-*", max_size=60))
def test_spans_follow_each_other(text: str) -> None:
    found = spans(text)
    assert all(0 <= span.begin < span.end <= len(text) for span in found)
    assert all(one.end <= other.begin for one, other in pairwise(found))


def test_a_sentence_begins_with_a_token() -> None:
    # Tokens at 0, 3 and 6; the second span begins inside the second token, so nothing begins there
    # but the token behind the first span.
    assert first_tokens([0, 3, 6], [False] * 3, [Mark(0, 3), Mark(4, 8)]) == [0, 1]


def test_what_is_left_over_goes_to_the_sentence_before_or_is_one() -> None:
    """Between sentences, and behind the last, five characters go to the one before; six do not."""
    for word, expected in (("abcde", [Mark(0, 10)]), ("abcdef", [Mark(0, 4), Mark(5, 11)])):
        text = f"One. {word} Two."
        found = [Mark(0, 4)]
        _close_gap(found, text, len(text) - 4)
        assert found == expected
        found = [Mark(0, 4)]
        _close_ends(found, f"One. {word}", [Mark(3, 4)])
        assert found == expected
    nothing: list[Mark] = []
    _close_gap(nothing, "abcde Two.", 6)
    assert nothing == []
    _close_ends(nothing, "abcde", [])
    assert nothing == []
    _close_ends(nothing, "abcdef", [])
    assert nothing == [Mark(0, 6)]


def test_sentences_of_the_kit(parity: Path) -> None:
    pairs = json.loads((parity / "ratescore" / "expected.json").read_text())["pairs"]
    for pair in pairs:
        for side in ("prediction", "reference"):
            expected = pair.get(f"sentences_{side}")
            if expected is not None:
                kept = [text for text in sentences(pair[side]) if len(text) >= 3]
                assert kept == expected, pair["id"]
