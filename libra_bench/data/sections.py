"""Report sections as MIMIC-CXR's published scripts cut them (MIT-LCP/mimic-cxr; Libra)."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources

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


@dataclass(frozen=True)
class Rules:
    """The published tables: header → section, then what a header contains."""

    names: dict[str, str]
    contained: tuple[str, ...]
    findings: tuple[str, ...]
    special: dict[str, str | slice]
    """Studies that the published table of sections leaves out, by the hand-made rule of each: the
    section or the characters that hold what the radiologist saw."""


def parse(text: str) -> dict[str, str]:
    """Sections of a report by name, stripped; of several with one name the last.

    Findings and impression that are empty do not count. A report left without either gives its
    paragraphs after the last section's first one as `last_paragraph`.
    """
    return {name: body.strip() for name, body in _parts(text) if name in SECTIONS}


def parse_special(study: str, text: str) -> dict[str, str]:
    """Sections of a study that the published table of sections leaves out.

    As `parse` cuts them; the passage that the published scripts' hand-made rule names is the
    `last_paragraph`, which is where they look after all sections of the table.

    Raises:
        KeyError: the study has no such rule.
    """
    rule = _rules().special[study]
    parts = _parts(text)
    if isinstance(rule, slice):
        passage = text[rule]
    else:
        passage = next((body for name, body in reversed(parts) if name == rule), "")
    sections = {name: body.strip() for name, body in parts if name in SECTIONS}
    return {**sections, "last_paragraph": passage.strip()}


def _parts(text: str) -> list[tuple[str, str]]:
    """Every section that counts, by name and in order."""
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
    return kept


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
    special = {
        row["study"]: row["section"] or slice(int(row["start"]), int(row["end"]))
        for row in csv.DictReader(studies)
    }
    other = json.loads((folder / "section_rules.json").read_text(encoding="utf-8"))
    return Rules(
        names, tuple(other["contains_in_order"]), tuple(other["findings_if_contains"]), special
    )
