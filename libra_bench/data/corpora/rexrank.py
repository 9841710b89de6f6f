"""ReXrank's JSON: {study_id: {report, section_findings, context, image_path, …}}."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from libra_bench.core.errors import InputError
from libra_bench.core.files import explain, listing, read_json
from libra_bench.core.records import Example, is_missing
from libra_bench.data.cohort import Cohort, Dropped
from libra_bench.data.corpora import refuse_policy
from libra_bench.data.prompts import question

CONTEXT_HEADERS = re.compile(r"\b(Indication|History|Technique|Comparison):\s*", re.IGNORECASE)


def load(path: str, *, split: str | None, prior_policy: str | None, section: str) -> Cohort:
    """Studies of one file, which is one split: all are evaluated, and the split is recorded.

    A study without the wanted section is dropped; CheXpert Plus writes such as NaN.

    Raises:
        InputError: another form of JSON, with the studies that have it.
    """
    refuse_policy("a ReXrank file", prior_policy)
    file = Path(path)
    table = read_json(file)
    if not isinstance(table, dict) or not table:
        raise InputError(f"{file}: ReXrank's {{study_id: {{…}}}} was expected")
    faults = [
        f"study {key!r}: no {name}"
        for key, row in table.items()
        for name in (f"section_{section}", "key_image_path")
        if not isinstance(row, dict) or name not in row
    ]
    faults += ["a study without an id"] if "" in table else []
    if faults:
        raise InputError(f"{file}: {listing(faults)}")
    examples, dropped = [], []
    for key, row in table.items():
        reference = row[f"section_{section}"]
        if is_missing(reference) or not str(reference).strip():
            dropped.append(Dropped(key, f"no {section}"))
        elif is_missing(row["key_image_path"]):
            dropped.append(Dropped(key, "no key_image_path"))
        else:
            try:
                examples.append(_example(key, row, str(reference), section))
            except ValidationError as error:
                faults += [f"study {key!r}: {fault}" for fault in explain(error)]
    if faults:
        raise InputError(f"{file}: {listing(faults)}")
    notes = [f"{len(dropped)} studies cannot be used and are left out"] if dropped else []
    splits = sorted({one.split for one in examples if one.split})
    if split and splits and splits != [split]:
        notes.append(
            f"{file.name} is evaluated whole: its split is {'/'.join(splits)}, not {split}"
        )
    return Cohort(
        name=file.stem,
        spec=path,
        examples=examples,
        image_root=file.resolve().parent,
        sources=[file],
        dropped=dropped,
        notes=notes,
        settings={"split": "/".join(splits) or "unnamed", "prior_policy": "none"},
    )


def _example(key: str, row: dict[str, Any], reference: str, section: str) -> Example:
    context = "" if is_missing(row.get("context")) else str(row["context"])
    sections = context_sections(context)
    return Example.model_validate(
        {
            **sections,
            "question_id": key,
            "image": [row["key_image_path"]],
            "text": question(sections, section),
            "reference": reference,
            # CXR3030_IM-1405 is the patient CXR3030 of Open-i.
            "subject_id": key.partition("_")[0],
            "study_id": key,
            "split": None if is_missing(row.get("split")) else row["split"],
            "prior_policy": "none",
            "rexrank": {name: None if is_missing(value) else value for name, value in row.items()},
        }
    )


def context_sections(context: str) -> dict[str, str]:
    """`Indication: … Comparison: …` taken apart; text without a header is the indication."""
    parts = CONTEXT_HEADERS.split(context)
    sections = {"indication": parts[0].strip()} if parts[0].strip() else {}
    for header, text in zip(parts[1::2], parts[2::2], strict=True):
        if text.strip():
            sections[header.lower()] = text.strip()
    return sections
