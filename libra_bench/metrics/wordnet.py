"""WordNet and sentence splitting for METEOR, found or made on this machine."""

from __future__ import annotations

import contextlib
import filecmp
import io
import os
import shutil
import socket
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from libra_bench.core.errors import MissingResourceError, Notice, cause_of
from libra_bench.core.files import cache_dir

DEBIAN = Path("/usr/share/wordnet")
WORDNET = "corpora/wordnet/"
"""With its slash NLTK finds the folder as well as `wordnet.zip`, as its downloader leaves it."""
DOWNLOAD = "LIBRA_BENCH_DOWNLOAD"
"""Set to 1, it lets METEOR's data be downloaded; nothing asks a network otherwise."""
MEND = (
    "apt-get install wordnet-base wordnet-sense-index, or python -m nltk.downloader wordnet, or "
    f"{DOWNLOAD}=1"
)
PARTS = ("adj", "adv", "noun", "verb")
FILES = (
    *(f"index.{part}" for part in PARTS),
    *(f"data.{part}" for part in PARTS),
    *(f"{part}.exc" for part in PARTS),
    "index.sense",
    "cntlist.rev",
)
# WordNet's 45 lexicographer files by number (lexnames(5WN)), with the number of their part of
# speech: NLTK asks for this list, and Debian does not ship it.
LEXICOGRAPHER_FILES = {
    "adj": ("all", "pert"),
    "adv": ("all",),
    "noun": (
        *("Tops", "act", "animal", "artifact", "attribute", "body", "cognition"),
        *("communication", "event", "feeling", "food", "group", "location", "motive", "object"),
        *("person", "phenomenon", "plant", "possession", "process", "quantity", "relation"),
        *("shape", "state", "substance", "time"),
    ),
    "verb": (
        *("body", "change", "cognition", "communication", "competition", "consumption"),
        *("contact", "creation", "emotion", "motion", "perception", "possession", "social"),
        *("stative", "weather"),
    ),
    # Number 44, the last, is an adjective file again.
    "adj.": ("ppl",),
}
PART_NUMBERS = {"noun": 1, "verb": 2, "adj": 3, "adv": 4}


class CachedWordNet:
    """WordNet as METEOR asks for it, each word looked up once."""

    def __init__(self, reader: Any) -> None:
        self.synsets = lru_cache(maxsize=None)(reader.synsets)


@cache
def wordnet() -> CachedWordNet:
    """WordNet 3.0: NLTK's own data, else Debian's files, else a download that was asked for.

    Raises:
        MissingResourceError: it is nowhere to be had, or what is there is damaged.
    """
    import nltk
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

    if not _found(WORDNET):
        _use_own_data()
        own = cache_dir("nltk_data") / "corpora" / "wordnet"
        if own.is_dir() and _debian_complete() and not _is_copy(own):
            warnings.warn(
                f"{own}: the copy of WordNet is damaged and is made again", Notice, stacklevel=2
            )
            shutil.rmtree(own)
    if not _found(WORDNET):
        if _debian_complete():
            _copy_debian(own)
        elif not _download("wordnet"):
            raise MissingResourceError("WordNet is not on this machine", MEND)
    # Without the multilingual WordNet, of which METEOR asks nothing, NLTK warns and loads in a
    # third of the time.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The multilingual functions")
        place = nltk.data.find(WORDNET)
        try:
            reader = WordNetCorpusReader(place, None)
            reader.synsets("lung")
        except Exception as error:
            raise MissingResourceError(
                f"WordNet in {place} cannot be read ({cause_of(error)})", MEND
            ) from error
    return CachedWordNet(reader)


@cache
def word_tokeniser() -> tuple[str, Callable[[str], list[str]]]:
    """NLTK's `word_tokenize` and the name of the sentence splitter it uses.

    The splitter decides which full stops end a sentence and so become tokens of their own. NLTK's
    trained English model (`punkt_tab`) is what published figures used; where it cannot be had the
    same algorithm runs untrained, and the name says so.

    Raises:
        MissingResourceError: the trained model is there and damaged.
    """
    import nltk
    from nltk.tokenize import NLTKWordTokenizer, word_tokenize
    from nltk.tokenize.punkt import PunktSentenceTokenizer

    name = "tokenizers/punkt_tab/english"
    if not _found(name):
        _use_own_data()
    if _found(name) or (_download("punkt_tab") and _found(name)):
        try:
            word_tokenize("No effusion. Clear.")
        except Exception as error:
            raise MissingResourceError(
                f"NLTK's punkt_tab cannot be read ({cause_of(error)})",
                "python -m nltk.downloader --force punkt_tab",
            ) from error
        return f"punkt_tab (nltk {nltk.__version__})", word_tokenize
    sentences, words = PunktSentenceTokenizer(), NLTKWordTokenizer()

    def tokenise(text: str) -> list[str]:
        return [word for sentence in sentences.tokenize(text) for word in words.tokenize(sentence)]

    return "punkt untrained", tokenise


def _found(name: str) -> bool:
    import nltk

    try:
        nltk.data.find(name)
    except LookupError:
        return False
    return True


def _use_own_data() -> None:
    import nltk

    own = str(cache_dir("nltk_data"))
    if own not in nltk.data.path:
        nltk.data.path.append(own)


def _is_copy(own: Path) -> bool:
    """Whether a copy has all files of Debian's, byte for byte."""
    try:
        return (own / "lexnames").read_bytes() == lexnames().encode() and all(
            filecmp.cmp(own / name, DEBIAN / name, shallow=False) for name in FILES
        )
    except OSError:
        return False


def _debian_complete() -> bool:
    return all((DEBIAN / name).is_file() for name in FILES)


def _copy_debian(target: Path) -> None:
    """An NLTK corpus from Debian's files.

    Copies, not links: NLTK refuses files outside its data folders. The folder appears whole or
    not at all, and of two processes that make it at once the first wins.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".wordnet.") as building:
        made = Path(building) / target.name
        made.mkdir()
        for name in FILES:
            shutil.copyfile(DEBIAN / name, made / name)
        (made / "lexnames").write_text(lexnames(), encoding="utf-8")
        try:
            made.rename(target)
        except OSError:
            if not (target / "lexnames").is_file():
                raise


def lexnames() -> str:
    """WordNet's `lexnames` file: number, name and number of the part of speech, a line each."""
    pairs = [
        (part.rstrip("."), name) for part, names in LEXICOGRAPHER_FILES.items() for name in names
    ]
    return "".join(
        f"{number:02d}\t{part}.{name}\t{PART_NUMBERS[part]}\n"
        for number, (part, name) in enumerate(pairs)
    )


def _download(package: str) -> bool:
    """Whether NLTK's downloader was asked for `package`, and brought it."""
    import nltk

    if os.environ.get(DOWNLOAD) != "1":
        return False
    # The downloader tells its failures to a stream; the caller says what follows from them.
    with _short_timeout(10):
        return bool(
            nltk.download(
                package,
                download_dir=str(cache_dir("nltk_data")),
                quiet=True,
                print_error_to=io.StringIO(),
            )
        )


@contextlib.contextmanager
def _short_timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
