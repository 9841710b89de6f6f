"""WordNet for METEOR, found or made on this machine."""

from __future__ import annotations

import filecmp
import shutil
import tempfile
import warnings
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from libra_bench.core.cache import cache_dir
from libra_bench.core.errors import MissingResourceError, Notice, cause_of
from libra_bench.metrics import nltk_data

DEBIAN = Path("/usr/share/wordnet")
MEND = "apt-get install wordnet-base wordnet-sense-index"
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
    """WordNet 3.0: NLTK's own data, else Debian's files.

    Raises:
        MissingResourceError: it is nowhere to be had, or what is there is damaged.
    """
    import nltk
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

    if not nltk_data.found("wordnet", ours=False):
        own = cache_dir("nltk_data") / "corpora" / "wordnet"
        if own.is_dir() and _debian_complete() and not _is_copy(own):
            warnings.warn(
                f"{own}: the copy of WordNet is damaged and is made again", Notice, stacklevel=2
            )
            shutil.rmtree(own)
    if not nltk_data.found("wordnet"):
        if not _debian_complete():
            raise MissingResourceError("WordNet is not on this machine", MEND, "meteor")
        _copy_debian(own)
    # Without the multilingual WordNet, of which METEOR asks nothing, NLTK warns and loads in a
    # third of the time.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The multilingual functions")
        place = nltk.data.find(nltk_data.PACKAGES["wordnet"])
        try:
            reader = WordNetCorpusReader(place, None)
            reader.synsets("lung")
        except Exception as error:
            raise MissingResourceError(
                f"WordNet in {place} cannot be read ({cause_of(error)})", MEND, "meteor"
            ) from error
    return CachedWordNet(reader)


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
