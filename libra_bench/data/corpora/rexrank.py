"""ReXrank's JSON: {study_id: {report, section_findings, context, image_path, …}}."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from libra_bench.core.errors import InputError
from libra_bench.core.files import explain, listing, read_json
from libra_bench.core.records import Example, is_missing
from libra_bench.data import contexts
from libra_bench.data.cohort import Cohort, Dropped
from libra_bench.data.corpora import refuse_policy
from libra_bench.data.prompts import question
from libra_bench.data.reporting import FINDINGS, IMPRESSION, REPORT, absent, whole_report
from libra_bench.data.rexrank import identity, image_place


def load(path: str, *, split: str | None, prior_policy: str | None, section: str) -> Cohort:
    """Studies of one file, which is one split: all are evaluated, and the split is recorded.

    A study without the wanted section is dropped; CheXpert Plus writes such as NaN. For `report`
    the reference is the file's own `report`, as on the leaderboard.

    Raises:
        InputError: another form of JSON, with the studies that have it.
    """
    refuse_policy("a ReXrank file", prior_policy)
    file = Path(path)
    table = read_json(file, unique=True)
    if not isinstance(table, dict) or not table:
        raise InputError(f"{file}: ReXrank's {{study_id: {{…}}}} was expected")
    wanted = [f"section_{name}" for name in (FINDINGS, IMPRESSION) if section in (name, REPORT)]
    faults = [
        f"study {key!r}: no {name}"
        for key, row in table.items()
        for name in (*wanted, "key_image_path")
        if not isinstance(row, dict) or name not in row
    ]
    faults += ["a study without an id"] if "" in table else []
    if faults:
        raise InputError(f"{file}: {listing(faults)}")
    examples, dropped = [], []
    for key, row in table.items():
        try:
            reference = _reference(row, section)
            if not reference.strip():
                dropped.append(Dropped(key, absent(section)))
            elif is_missing(row["key_image_path"]):
                dropped.append(Dropped(key, "no key_image_path"))
            else:
                examples.append(_example(key, row, reference, section))
        except ValidationError as error:
            faults += [f"study {key!r}: {fault}" for fault in explain(error)]
        except ValueError as error:
            faults.append(f"study {key!r}: {error}")
    if faults:
        raise InputError(f"{file}: {listing(faults)}")
    if not examples:
        raise InputError(f"{file}: {len(dropped)} studies, all of them with {absent(section)}")
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


def _reference(row: dict[str, Any], section: str) -> str:
    """The text that is scored; empty where there is none."""
    texts = {name: _text(row, f"section_{name}") for name in (FINDINGS, IMPRESSION)}
    if section != REPORT:
        return texts[section]
    told = {name: text for name, text in texts.items() if text.strip()}
    return _text(row, "report") or whole_report(told) if told else ""


def _text(row: dict[str, Any], name: str) -> str:
    value = row.get(name)
    if is_missing(value):
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{name}: a text was expected, not {value!r}")
    return value


def _example(key: str, row: dict[str, Any], reference: str, section: str) -> Example:
    known = contexts.sections(_text(row, "context"))
    subject, study = identity(key, row)
    return Example.model_validate(
        {
            **_person(row),
            **known,
            "question_id": key,
            "image": [image_place(row["key_image_path"])],
            "text": question(known, section),
            "reference": reference,
            "subject_id": subject,
            "study_id": study,
            "split": None if is_missing(row.get("split")) else row["split"],
            "prior_policy": "none",
            "rexrank": {name: None if is_missing(value) else value for name, value in row.items()},
        }
    )


def _person(row: dict[str, Any]) -> dict[str, str]:
    """Age and sex as the study's own fields have them; its context may say them otherwise."""
    told = {name: row[name] for name in ("age", "sex") if not is_missing(row.get(name))}
    return {
        name: str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
        for name, value in told.items()
    }
