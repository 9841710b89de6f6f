"""The form in which texts are compared: plain, or with the labels of ReXrank's leaderboard.

ReXrank's step 0 (`json_to_csv.py` of rajpurkarlab/ReXrank-metric) makes a study's reference
`Findings: ` + `section_findings`, or for its reports track the field `report`
(`Findings: … Impression: …`); predictions are compared as they were submitted, and begin with the
same label. Here texts are kept plain, because Libra's own evaluation knows no labels; profile
`rexrank` puts them on where the study is one of ReXrank's.
"""

from __future__ import annotations

import re
from typing import Any

from libra_bench.core.records import Example, Prediction

PROFILE = "rexrank"
STUDY = "rexrank"
"""The field of an example that holds a study's own fields in ReXrank's file."""
LABEL = "Findings: "
_LABELLED = re.compile(r"\s*Findings:\s*")


def pair(example: Example, prediction: Prediction, profile: str) -> tuple[str | None, str | None]:
    """The texts (prediction, reference) that are compared; None where there is none."""
    text = prediction.text if prediction.status == "ok" else None
    reference = example.reference or None
    own = study_of(example)
    if own is None:
        return text, reference
    submitted = (prediction.model_extra or {}).get("form") == STUDY
    if profile != PROFILE:
        plain = submitted and text is not None and _is_findings(example, own)
        return _LABELLED.sub("", text, count=1) if plain and text else text, reference
    if text is not None and not submitted:
        text = labelled(text)
    if reference is not None and _is_findings(example, own):
        reference = LABEL + reference
    return text, reference


def used(example: Example, profile: str) -> bool:
    """Whether the labels of the leaderboard are put on."""
    return profile == PROFILE and study_of(example) is not None


def labelled(text: str) -> str:
    """A text as it is submitted: `Findings: …`. One without a word stays as it is."""
    return text if not text.strip() or _LABELLED.match(text) else LABEL + text


def study_of(example: Example) -> dict[str, Any] | None:
    """A study's own fields in ReXrank's file; None where the example is of another corpus."""
    own = (example.model_extra or {}).get(STUDY)
    return own if isinstance(own, dict) else None


def _is_findings(example: Example, own: dict[str, Any]) -> bool:
    """Whether the example's reference is the study's findings, and not its whole report."""
    return example.reference == own.get("section_findings")
