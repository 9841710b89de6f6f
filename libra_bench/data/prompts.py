"""The question that Libra is asked, with the clinical context it is given."""

from __future__ import annotations

from collections.abc import Mapping

from libra_bench.data.reporting import REPORT

QUESTION = "Provide a detailed description of the {section} in the radiology image."
CONTEXT = ("indication", "history", "technique", "comparison")
WHOLE = "findings and impression"
"""How a whole report is asked for; Libra itself was asked for one section at a time."""


def question(sections: Mapping[str, str], section: str = "findings") -> str:
    """Libra's question about `section`, followed by what is known of the study.

    Args:
        sections: texts of the report by name; of these the ones in `CONTEXT` are used.
    """
    known = [
        f"{name.capitalize()}: {' '.join(sections[name].split())}"
        for name in CONTEXT
        if sections.get(name, "").strip()
    ]
    asked = QUESTION.format(section=WHOLE if section == REPORT else section)
    return f"{asked} Following clinical context: {' '.join(known)}" if known else asked
