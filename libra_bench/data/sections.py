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
