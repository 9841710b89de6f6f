"""A whole report of its sections, and what can be asked of a corpus."""

from __future__ import annotations

from collections.abc import Mapping

FINDINGS, IMPRESSION, REPORT = "findings", "impression", "report"
SECTIONS = (FINDINGS, IMPRESSION, REPORT)
"""What `--section` may name; `report` is findings and impression together."""


def whole_report(sections: Mapping[str, str]) -> str:
    """`Findings: … Impression: …`, as ReXrank's reports track writes it; only what there is."""
    parts = (
        f"{name.capitalize()}: {sections[name]}"
        for name in (FINDINGS, IMPRESSION)
        if sections.get(name, "").strip()
    )
    return " ".join(parts)


def reference_of(sections: Mapping[str, str], section: str) -> str:
    """The text that is asked for; empty where the study has none."""
    return whole_report(sections) if section == REPORT else sections.get(section, "")


def absent(section: str) -> str:
    """Why a study without it is left out."""
    return "neither findings nor impression" if section == REPORT else f"no {section}"
