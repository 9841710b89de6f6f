"""Text cleaning by name; a profile names the one it was published with."""

from __future__ import annotations

import re
from collections.abc import Callable

Cleaning = Callable[[str], str]


def libra(text: str) -> str:
    """Libra's cleaning before every metric (X-iZhang/Libra, `libra/eval/radiology_report.py`).

    Lower case; line breaks, runs of dashes and underscores become a space; what is neither a
    word character, white space nor one of `.,:;()` goes; white space collapses.
    """
    text = re.sub(r"\n+", " ", text.lower())
    text = re.sub(r"[_-]+", " ", text)
    text = re.sub(r"[^\w\s.,:;()]", "", text)
    return re.sub(r"\s{2,}", " ", text).strip()


def none(text: str) -> str:
    """The text as it is."""
    return text


CLEANINGS: dict[str, Cleaning] = {"libra": libra, "none": none}
