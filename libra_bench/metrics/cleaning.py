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


def blanks(text: str) -> str:
    """Runs of blanks as one, as CXR-Report-Metric reads texts before BERTScore and only there."""
    return re.sub(r" +", " ", text)


def chexbert(text: str) -> str:
    """CheXbert's cleaning before its tokenizer: white space of any kind becomes one blank.

    Without it BERT's tokenizer drops control characters (VT, FF, FS to US, NEL) and with them the
    gap between two words.
    """
    return re.sub(r"\s+", " ", text.strip()).strip()


CLEANINGS: dict[str, Cleaning] = {"libra": libra, "none": none, "blanks": blanks}
