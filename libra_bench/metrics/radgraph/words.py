"""Words of a report, as the data that RadGraph learned from was cut."""

from __future__ import annotations

import re

_GAPS = re.compile(r"(?<! )(?=[/,:.!?()])|(?<=[/,:.!?()])(?! )")
_WORDS = re.compile(r"\w+|[^\w\s]+")
# What stands in reports that went through JSON; each gets as many blanks as it had characters.
_ESCAPES = {"\\n": "  ", "\\f": "  ", "\\u2122": "      ", "\n": " ", '\\"': "``"}
_SPLITS = {").": ") .", "%.": "% .", ".'": ". '", "%,": "% ,", "%)": "% )"}


def words(text: str, dataset: str) -> list[str]:
    """The words of a text.

    Args:
        dataset: `radgraph` puts blanks around some marks, all others separate letters and digits
            from everything else.
    """
    if dataset == "radgraph":
        return _GAPS.sub(" ", text).split()
    for escape, blanks in _ESCAPES.items():
        text = text.replace(escape, blanks)
    text = " ".join(_WORDS.findall(text))
    for together, apart in _SPLITS.items():
        text = text.replace(together, apart)
    return text.split()
