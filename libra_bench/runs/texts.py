"""Reading what `score` takes: predictions, with their references in the same file or beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from libra_bench.core.errors import InputError
from libra_bench.core.files import listing, read_records
from libra_bench.core.records import Example, Prediction, is_missing


def read_pairs(
    predictions: Path, references: Path | None = None
) -> tuple[list[Example], list[Prediction]]:
    """Examples and predictions with the same ids, in the order of the examples' file.

    Args:
        predictions: our predictions, Libra's answers, or any JSONL of `question_id` with the
            text as `text` or `prediction`; with `reference` where `references` is None.
        references: JSONL of `question_id` and `reference` (Libra's evaluation files are).

    Raises:
        InputError: a line without its fields, an id twice or on one side only; all are named.
    """
    answers = read_records(predictions, Prediction, _as_prediction)
    if references is not None:
        return read_records(references, Example, _as_example), answers
    silent = [one.question_id for one in answers if one.reference is None]
    if silent:
        raise InputError(
            f"{predictions}: no reference for id {listing(silent)}\n"
            "--references FILE.jsonl names the file that holds them"
        )
    return [Example.model_validate(_as_example(one.model_dump())) for one in answers], answers


def _as_prediction(value: dict[str, Any]) -> dict[str, Any]:
    # Metric corpora call the text `prediction`. A missing text is a report that was never
    # delivered: unscored. An empty one was delivered and is scored.
    text = value.get("text", value.get("prediction"))
    fields = {**value, "text": text}
    if is_missing(text):
        fields = {"error": "no text", **value, "text": "", "status": "failed"}
    if "reference" in value and is_missing(value["reference"]):
        fields["reference"] = ""
    return fields


def _as_example(value: dict[str, Any]) -> dict[str, Any]:
    known = {key: value[key] for key in ("subject_id", "study_id", "split", "view") if key in value}
    return known | {
        "question_id": value.get("question_id"),
        "text": value.get("prompt") or "",
        "image": value.get("image") or [],
        "reference": value.get("reference"),
    }
