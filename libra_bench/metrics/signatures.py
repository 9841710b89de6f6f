"""Writing and reading signatures: do two figures mean the same?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import unquote

UNKNOWN = "unknown"
RESERVED = ("metric", "version", "n", "resampled", "labels", "model", "decoding")
"""Keys of every signature: the metric's own, and what is said of the texts behind it."""


def signature_from(parts: Mapping[str, object]) -> str:
    """`key:value` parts joined by `|`; a `|` or `%` inside a value is written as in a URL."""
    return "|".join(f"{key}:{_escaped(str(value))}" for key, value in parts.items())


def _escaped(value: str) -> str:
    return value.replace("%", "%25").replace("|", "%7C")


def parts_of(signature: str) -> dict[str, str]:
    """A signature's `key:value` parts, in their order."""
    pairs = (part.partition(":") for part in signature.split("|") if part)
    return {key: unquote(value) for key, _, value in pairs}


def differing_parts(first: str, second: str, ignored: Sequence[str] = ()) -> list[str]:
    """The parts in which two signatures differ, each as a phrase: `tok 13a there, ptb here`.

    A part that is `unknown` on one side agrees with anything: nobody has said otherwise.

    Args:
        ignored: keys that may differ.
    """
    one, two = parts_of(first), parts_of(second)
    phrases = []
    for key in dict.fromkeys([*one, *two]):
        there, here = one.get(key, "absent"), two.get(key, "absent")
        if key not in ignored and there != here and UNKNOWN not in (there, here):
            phrases.append(f"{key} {there} there, {here} here")
    return phrases
