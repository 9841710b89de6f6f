"""Report sections as MIMIC-CXR's published scripts cut them (MIT-LCP/mimic-cxr; Libra)."""

from __future__ import annotations

import csv
import json
import re
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from libra_bench.core.errors import InputError

SECTIONS = (
    "findings",
    "impression",
    "indication",
    "comparison",
    "technique",
    "history",
    "examination",
    "last_paragraph",
)
HEADER = re.compile(r"\n ([A-Z ()/,-]+):\s")
PARAGRAPH = "\n \n"
REPORT_NAME = re.compile(r"(?:^|/)(s\d+)\.txt$")


@dataclass(frozen=True)
class Rules:
    """The published tables: header → section, then what a header contains."""

    names: dict[str, str]
    contained: tuple[str, ...]
    findings: tuple[str, ...]
    special: frozenset[str]
    """Studies with hand-made rules, which the published table of sections leaves out."""


def parse(text: str) -> dict[str, str]:
    """Sections of a report by name, stripped; of several with one name the last.

    Findings and impression that are empty do not count. A report left without either gives its
    paragraphs after the last section's first one as `last_paragraph`.
    """
    names, bodies = _cut(text)
    kept = [
        (name, body)
        for name, body in zip(names, bodies, strict=True)
        if body.strip() or name not in ("impression", "findings")
    ]
    known = {name for name, _ in kept}
    if kept and not known & {"impression", "findings"}:
        name, body = kept[-1]
        first, *rest = body.split(PARAGRAPH)
        if rest:
            kept[-1] = (name, first)
            kept.append(("last_paragraph", PARAGRAPH.join(rest)))
    return {name: body.strip() for name, body in kept if name in SECTIONS}


def section_name(header: str) -> str:
    """The section that a header stands for; the header itself where no rule knows it."""
    rules = _rules()
    name = header.lower().strip()
    if name in rules.names:
        return rules.names[name]
    for part in rules.contained:
        if part in name:
            return part
    return "findings" if any(part in name for part in rules.findings) else name


def is_special(study: str) -> bool:
    """Whether the published table of sections leaves this study (`s50913680`) out."""
    return study in _rules().special


def read_reports(place: Path) -> Iterator[tuple[str, str]]:
    """(study, text) of every report `s….txt` in a folder, a zip or a tar archive.

    Raises:
        InputError: no such place, a broken archive, a report that is not UTF-8.
    """
    if place.is_dir():
        for file in sorted(place.rglob("s*.txt")):
            if REPORT_NAME.search(file.name):
                yield file.stem, decode(file.read_bytes(), str(file))
    elif zipfile.is_zipfile(place):
        with zipfile.ZipFile(place) as archive:
            for name in sorted(archive.namelist()):
                if match := REPORT_NAME.search(name):
                    yield match[1], decode(archive.read(name), f"{place}: {name}")
    else:
        try:
            with tarfile.open(place) as packed:
                for member in packed:
                    match = REPORT_NAME.search(member.name)
                    stream = packed.extractfile(member) if match else None
                    if match and stream:
                        yield match[1], decode(stream.read(), f"{place}: {member.name}")
        except (OSError, EOFError, tarfile.TarError) as error:
            raise InputError(f"{place}: neither a folder nor an archive ({error})") from None


def decode(content: bytes, where: str) -> str:
    """A report's text, line ends as `\\n`.

    Raises:
        InputError: not UTF-8, with the place of the byte.
    """
    try:
        return content.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: not UTF-8 text (byte {error.start})") from None


def _cut(text: str) -> tuple[list[str], list[str]]:
    match = HEADER.search(text)
    if match is None:
        return ["full report"], [text]
    names, bodies = ["preamble"], [text[: match.start(1)]]
    while match:
        start = match.end()
        # The next header is looked for after the section's first line only.
        line_end = text.find("\n", start)
        following = HEADER.search(text, line_end if line_end >= 0 else start)
        bodies.append(text[start : following.start() if following else len(text)])
        names.append(section_name(match[1]))
        match = following
    return names, bodies


@cache
def _rules() -> Rules:
    folder = resources.files("libra_bench.data") / "constants"
    headers = (folder / "section_names.csv").read_text(encoding="utf-8").splitlines()
    names = {row["header"]: row["section"] for row in csv.DictReader(headers)}
    studies = (folder / "special_cases.csv").read_text(encoding="utf-8").splitlines()
    special = frozenset(row["study"] for row in csv.DictReader(studies))
    other = json.loads((folder / "section_rules.json").read_text(encoding="utf-8"))
    return Rules(
        names, tuple(other["contains_in_order"]), tuple(other["findings_if_contains"]), special
    )
