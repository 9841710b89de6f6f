"""Hashes that tie files together: which reports were asked for, and which texts were scored."""

from __future__ import annotations

from collections.abc import Iterable
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
