"""Hashes that tie files together: which reports were asked for, and which texts were scored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256

DIGITS = 16
"""Hexadecimal digits that stand for one report; a whole set has all 64."""


def text_hash(*texts: str) -> str:
    """One report's texts in 16 hexadecimal digits."""
    return _digest(texts)[:DIGITS]


def set_hash(by_id: Iterable[tuple[str, str]]) -> str:
    """A set of reports by (id, `text_hash`), whatever their order, in 64 hexadecimal digits."""
    return _digest(part for pair in sorted(by_id) for part in pair)


def _digest(parts: Iterable[str]) -> str:
    digest = sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        # The length in front keeps ("ab", "c") from meeting ("a", "bc").
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


def question_hash(texts: Iterable[str], images: Iterable[str]) -> str:
    """What was asked: its texts (the prompt), and the hashes of its images' bytes in order."""
    return text_hash(*texts, "", *images)


def answerer_hash(facts: Mapping[str, object]) -> str:
    """Who answered: weights, tower, preprocessing, tokenizer, conversation, decoding, type."""
    return text_hash(*(f"{name}={facts[name]}" for name in sorted(facts)))
