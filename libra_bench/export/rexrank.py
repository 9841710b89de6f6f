"""Predictions in the form that ReXrank takes: `{study_id: {the study's fields, model_prediction}}`.

Its script reads `section_findings`, `section_impression`, `report` and `model_prediction`, which
begins with `Findings: ` as in its examples. ReXrank evaluates whole studies, so a study may stand
once only; and all studies of its file, so those that are not written are told, each with its
reason.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from libra_bench.core.errors import InputError, cause_of
from libra_bench.core.files import listing, write_json
from libra_bench.core.records import Example, Prediction, is_missing
from libra_bench.runs.comparing import require_current
from libra_bench.runs.folder import RunFolder
from libra_bench.runs.forms import labelled, study_of
from libra_bench.runs.freshness import require_finished

# ReXrank's own files write this where a report has no such section.
NO_SECTION = "None."
# Sections that ReXrank's `context` holds, in its order.
CONTEXT = ("indication", "comparison")


@dataclass(frozen=True)
class Exported:
    """What was written."""

    path: Path
    studies: int
    empty: tuple[str, ...]
    """Ids written with an empty prediction, because none was generated."""
    missing: tuple[tuple[str, str], ...] = ()
    """(id, reason) of what the data holds and the run left out."""
    limit: int | None = None
    """The run's `--limit`; studies beyond it are not written and not counted."""

    def reasons(self) -> list[tuple[str, list[str]]]:
        """The ids that are missing, by reason, the most frequent first."""
        counts = Counter(reason for _, reason in self.missing)
        return [
            (reason, [key for key, why in self.missing if why == reason])
            for reason, _ in counts.most_common()
        ]


def export(run_dir: Path, output: Path, *, allow_missing: bool = False) -> Exported:
    """Write a run's predictions as ReXrank's predictions JSON, in one step.

    Args:
        run_dir: the run folder; it need not be scored, but scores must be of its texts.
        output: the JSON file.
        allow_missing: write an empty prediction for a report that was not generated, which the
            leaderboard scores as one, instead of refusing.

    Raises:
        InputError: no run folder; a run that failed or was cancelled, or reports that were not
            generated, unless they are allowed; texts that were changed after they were scored;
            several examples of one study. All ids are named.
    """
    folder = RunFolder.open(run_dir)
    manifest = folder.manifest()
    section = _section(manifest)
    if not allow_missing:
        require_finished(folder)
    if folder.summary_file.is_file():
        require_current(folder)
    examples = folder.examples()
    texts = _texts(folder.predictions())
    empty = tuple(one.question_id for one in examples if one.question_id not in texts)
    faults = _repeated_studies(examples)
    if not allow_missing:
        faults += [f"no report was generated for id {key!r}" for key in empty]
    if faults:
        hint = "\n--allow-missing writes an empty prediction for them" if empty else ""
        raise InputError(f"{run_dir}: cannot be exported: {listing(faults)}{hint}")
    studies = {
        study_key(example): {
            **study_fields(example, section),
            "model_prediction": _submitted(texts.get(example.question_id, ""), section),
        }
        for example in examples
    }
    write_json(output, studies)
    limit = (manifest.get("resolved") or {}).get("limit")
    return Exported(output, len(studies), empty, tuple(_dropped(folder)), limit)


def study_key(example: Example) -> str:
    """The study's id, by which ReXrank knows it; the question's where there is none."""
    return example.study_id or example.question_id


def study_fields(example: Example, section: str) -> dict[str, Any]:
    """ReXrank's fields of a study: its own where the example came from there, else the same ones.

    Args:
        section: which section the example's reference is.
    """
    original = study_of(example)
    if original is not None:
        return {key: None if is_missing(value) else value for key, value in original.items()}
    texts = {name: example.extra(name) for name in ("findings", "impression")}
    if section in texts:
        texts[section] = example.reference
    fields: dict[str, Any] = {
        "image_path": list(dict.fromkeys(example.image)),
        "report": reference_text(texts["findings"], texts["impression"]),
        "section_findings": texts["findings"] or None,
        "section_impression": texts["impression"] or None,
        "split": example.split,
        "subject_id": example.subject_id,
        "context": " ".join(
            f"{name.capitalize()}: {example.extra(name)}" for name in CONTEXT if example.extra(name)
        ),
    }
    if example.image:
        fields["key_image_path"] = example.image[0]
    return fields


def reference_text(findings: str, impression: str) -> str:
    """A whole report as ReXrank writes it: `Findings: ... Impression: ...`."""
    return f"Findings: {findings or NO_SECTION} Impression: {impression or NO_SECTION}"


def _submitted(text: str, section: str) -> str:
    """A prediction as ReXrank's examples write it; it has no track for impressions alone."""
    return text if section == "impression" else labelled(text)


def _dropped(folder: RunFolder) -> list[tuple[str, str]]:
    """(id, reason) of what the run could not use."""
    if not folder.dropped_file.is_file():
        return []
    try:
        text = folder.dropped_file.read_text(encoding="utf-8")
        rows = csv.DictReader(io.StringIO(text, newline=""))
        return [(row["id"], row["reason"]) for row in rows]
    except (OSError, UnicodeDecodeError, KeyError, csv.Error) as error:
        raise InputError(f"{folder.dropped_file}: cannot be read ({cause_of(error)})") from None


def _section(manifest: dict[str, Any]) -> str:
    """The section that a run's references are."""
    settings = (manifest.get("resolved") or {}).get("cohort_settings") or {}
    return str(settings.get("section") or "findings")


def _texts(predictions: Iterable[Prediction]) -> dict[str, str]:
    return {one.question_id: one.text for one in predictions if one.status == "ok"}


def _repeated_studies(examples: Iterable[Example]) -> list[str]:
    ids: dict[str, list[str]] = {}
    for example in examples:
        ids.setdefault(study_key(example), []).append(example.question_id)
    return [
        f"study {study!r} stands {len(same)} times (ids {', '.join(same)}); ReXrank takes one"
        for study, same in ids.items()
        if len(same) > 1
    ]
