"""Sentences of clinical text, exactly as medspaCy's `medspacy_pyrush` splits them.

Rules mark where sentences begin and end (`rules.py`), the marks are joined to spans, and the spans
are laid over spaCy's tokens, because a sentence can only begin where a token does.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from itertools import pairwise
from typing import Any

from libra_bench.core.errors import MissingResourceError
from libra_bench.metrics.sentences.rules import Mark, clinical

_SHORTEST = 5
"""Characters between sentences that are a sentence of their own; fewer go to the one before."""
_LAST = frozenset('.!?)]"')


def check() -> None:
    """Find spaCy.

    Raises:
        MissingResourceError: it is not installed.
    """
    tokenizer()


@cache
def tokenizer() -> Any:
    """spaCy's rules for English tokens; no model is loaded."""
    try:
        from spacy.lang.en import English
    except ImportError:
        raise MissingResourceError(
            "spaCy, which finds the tokens of sentences, is not installed",
            "pip install 'libra-bench[metrics]'",
        ) from None
    return English().tokenizer


def tokenizer_version() -> str:
    """Of spaCy, on which the tokens depend."""
    return version("spacy")


def sentences(text: str) -> list[str]:
    """The sentences of a text, stripped of white space around them; blank ones are left out."""
    document = tokenizer()(text)
    starts = [token.idx for token in document]
    firsts = first_tokens(starts, [token.is_space for token in document], spans(text))
    found = (
        document[first:following].text.strip()
        for first, following in pairwise([*firsts, len(starts)])
    )
    return [sentence for sentence in found if sentence]


def spans(text: str) -> list[Mark]:
    """Sentences as spans of characters, in their order, with gaps of white space between them."""
    begins, ends = clinical().marks(text)
    found: list[Mark] = []
    begin = end = last = 0
    started = False
    for number, mark in enumerate(begins):
        if not started:
            begin = mark.begin
            if begin < end:
                continue
            started = True
        elif mark.begin < end:
            continue
        _close_gap(found, text, begin)
        following = begins[number + 1].begin if number + 1 < len(begins) else None
        for place in range(last, len(ends)):
            final = place == len(ends) - 1
            if following is not None and not final and following < ends[place].begin + 1:
                break
            end, last = ends[place].begin + 1, place
            while end >= 1 and text[end - 1].isspace():
                end -= 1
            if end < begin:
                continue
            if not started:
                found[-1] = Mark(begin, end)
                continue
            found.append(Mark(begin, end))
            started = False
            if following is not None and (final or following <= ends[place + 1].end):
                break
    _close_ends(found, text, ends)
    return found


def _close_gap(found: list[Mark], text: str, begin: int) -> None:
    """Give the text between the last sentence and the next one a place."""
    gap = _trimmed(text, found[-1].end if found else 0, begin)
    if gap is None:
        return
    if gap.width > _SHORTEST:
        found.append(gap)
    elif found:
        found[-1] = Mark(found[-1].begin, gap.end)


def _close_ends(found: list[Mark], text: str, ends: Sequence[Mark]) -> None:
    """Give the text before the first sentence and behind the last one a place."""
    if not found:
        whole = _trimmed(text, 0, len(text))
        if whole is not None and whole.width > _SHORTEST:
            found.append(whole)
        return
    before = _trimmed(text, 0, found[0].begin)
    if before is not None:
        if found[0].begin <= ends[0].begin:
            found[0] = Mark(before.begin, found[0].end)
        else:
            found.insert(0, before)
    behind = _trimmed(text, found[-1].end, len(text))
    if behind is not None:
        if behind.width > _SHORTEST:
            found.append(behind)
        else:
            found[-1] = Mark(found[-1].begin, behind.end)


def _trimmed(text: str, begin: int, end: int) -> Mark | None:
    """From the first character that is no white space to the last that can end a sentence."""
    places = range(begin, end)
    first = next((place for place in places if not text[place].isspace()), None)
    if first is None:
        return None
    candidates = range(end - 1, first, -1)
    last = next((p for p in candidates if text[p].isalnum() or text[p] in _LAST), None)
    return None if last is None else Mark(first, last + 1)


def first_tokens(starts: Sequence[int], blank: Sequence[bool], found: Sequence[Mark]) -> list[int]:
    """The tokens with which sentences begin.

    Args:
        starts: [n] the first character of each token.
        blank: [n] whether a token is white space.
        found: sentences as spans of characters.
    """
    firsts = {0} if starts else set()
    token = number = 0
    while token < len(starts):
        place = starts[token]
        following = found[number + 1].begin if number + 1 < len(found) else -1
        if number < len(found) - 1 and found[number].end <= place < following:
            stop = token
            while stop < len(starts) and starts[stop] < following:
                stop += 1
            spaces = (inside for inside in range(token, stop) if blank[inside])
            firsts.add(next(spaces, token))
            token = stop
            continue
        while number < len(found) and place >= found[number].end:
            number += 1
        if number == len(found):
            if blank[token]:
                firsts.add(token)
        elif place >= found[number].begin:
            if place == found[number].begin:
                firsts.add(token)
            if token + 1 < len(starts) and starts[token + 1] >= found[number].end:
                firsts.add(token + 1)
        token += 1
    return sorted(firsts)
