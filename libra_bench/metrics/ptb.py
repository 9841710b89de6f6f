"""The Stanford programs that COCO's evaluation runs in Java, as `pycocoevalcap` ships them."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from importlib import metadata, util
from pathlib import Path

from libra_bench.core.errors import MissingResourceError, RunError

TOKENIZER_JAR = Path("tokenizer") / "stanford-corenlp-3.4.1.jar"
METEOR_JAR = Path("meteor") / "meteor-1.5.jar"
# Tokens that pycocoevalcap drops after tokenising.
PUNCTUATION = frozenset(
    (
        *("''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-"),
        *(".", "?", "!", ",", ":", "-", "--", "...", ";"),
    )
)
# All that Java or Python may take for the end of a line.
LINE_BREAK = re.compile("[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
# A line between two reports: the tokenizer looks past the end of a line (is the next word a
# capital?), and without it a report's tokens would depend on the report that follows.
FENCE = "x"
LARGEST_CACHE = 200_000


def jar(path: Path) -> Path:
    """A Java archive of `pycocoevalcap`, by its path in the package.

    Raises:
        MissingResourceError: no Java, no `pycocoevalcap`, or no such archive in it.
    """
    if shutil.which("java") is None:
        raise MissingResourceError(
            "Java is not on this machine", "apt-get install default-jre-headless"
        )
    command = "pip install 'libra-bench[metrics]'"
    found = util.find_spec("pycocoevalcap")
    if found is None or not found.submodule_search_locations:
        raise MissingResourceError("pycocoevalcap is not installed", command)
    archive = Path(next(iter(found.submodule_search_locations))) / path
    if not archive.is_file():
        raise MissingResourceError(f"pycocoevalcap lacks its {path.name}", command)
    return archive


def java(arguments: Sequence[str], lines: Sequence[str], folder: Path) -> list[str]:
    """What a Java program prints for some lines on its standard input, line by line.

    Raises:
        RunError: it fails.
    """
    answer = subprocess.run(
        ["java", "-Dfile.encoding=UTF-8", "-Dstdout.encoding=UTF-8", *arguments],
        input="".join(f"{line}\n" for line in lines).encode("utf-8", "replace"),
        capture_output=True,
        cwd=folder,
        check=False,
    )
    if answer.returncode:
        told = answer.stderr.decode("utf-8", "replace").strip().splitlines()
        raise RunError(f"java {arguments[-1]} failed: {told[-1] if told else answer.returncode}")
    return answer.stdout.decode("utf-8", "replace").split("\n")


def version() -> str:
    """Of `pycocoevalcap`, for signatures."""
    return metadata.version("pycocoevalcap")


class PtbTokeniser:
    """Penn Treebank tokens in lower case without punctuation; each text is tokenised once."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """The tokens of each text, joined by single spaces.

        Raises:
            MissingResourceError: no Java or no `pycocoevalcap`.
            RunError: the tokenizer fails.
        """
        unknown = [text for text in dict.fromkeys(texts) if text not in self._known]
        if len(self._known) + len(unknown) > LARGEST_CACHE:
            self._known.clear()
            unknown = list(dict.fromkeys(texts))
        if unknown:
            self._known.update(zip(unknown, self._tokenise(unknown), strict=True))
        return [self._known[text] for text in texts]

    def _tokenise(self, texts: Sequence[str]) -> list[str]:
        archive = jar(TOKENIZER_JAR)
        lines = [line for text in texts for line in (LINE_BREAK.sub(" ", text), FENCE)]
        program = "edu.stanford.nlp.process.PTBTokenizer"
        options = ["-cp", archive.name, program, "-preserveLines", "-lowerCase"]
        tokenised = java(options, lines, archive.parent)
        found = tokenised[0 : 2 * len(texts) : 2]
        if tokenised[1 : 2 * len(texts) : 2] != [FENCE] * len(texts):
            raise RunError("the PTB tokenizer lost a line: its tokens fit no report")
        return [
            " ".join(word for word in line.rstrip().split(" ") if word not in PUNCTUATION)
            for line in found
        ]


@cache
def ptb_tokeniser() -> PtbTokeniser:
    """The tokeniser that all metrics share, so that no report is tokenised twice."""
    return PtbTokeniser()
