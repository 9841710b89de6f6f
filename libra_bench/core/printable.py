"""Text that came from data, shown on a terminal: it may say anything and do nothing."""

from __future__ import annotations

import re

# Control characters but for tab and line break, and the marks that turn the direction of text.
_ACTING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_BREAKS = re.compile("[\t\n\u2028\u2029]")
_LONE = re.compile("[\ud800-\udfff]")


def printable(text: str) -> str:
    """`text` with what a terminal would act on, and what no encoding takes, written out."""
    return _LONE.sub(_written, _ACTING.sub(_written, text))


def one_line(text: str) -> str:
    """`printable` text on one line: line breaks and tabs are written out too.

    Programs read some lines by how they begin (`::error` of GitHub's jobs), and none of them may
    come from data.
    """
    return _BREAKS.sub(_written, printable(text))


def _written(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
