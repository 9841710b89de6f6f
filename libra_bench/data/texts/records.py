"""A row as a record: which of its fields is the prediction, the reference, the id, the patient."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from libra_bench.core.errors import InputError
from libra_bench.core.fields import (
    NOT_OF_EXAMPLES,
    OF_ANSWERS,
    REXRANK,
    SECTIONS,
    Ambiguous,
    identifier_of,
    known_predictions,
    known_references,
    prediction_of,
    reference_of,
)
from libra_bench.core.files import explain, listing
from libra_bench.core.ids import is_missing, whose
from libra_bench.core.records import MOST_IMAGES
from libra_bench.data.texts.rows import Rows, as_text

Record = TypeVar("Record", bound=BaseModel)
_OWN = (*OF_ANSWERS, "error", "metadata")
"""Fields of a prediction that are taken over as they are."""


def own_reference(row: Mapping[str, Any], *, alone: bool) -> str | None:
    """Where a row of predictions holds its reference, too."""
    return reference_of(row, taken=prediction_of(row, alone=alone) or "prediction")


def prediction_fields(row: Mapping[str, Any], *, alone: bool) -> dict[str, Any]:
    """A row as the fields of a `Prediction`.

    Args:
        alone: its reference, if any, stands in the same row.

    Raises:
        Ambiguous: nobody can say what the row predicts.
    """
    name = prediction_of(row, alone=alone)
    if name is None:
        raise Ambiguous("no prediction", known_predictions())
    fields = {key: row[key] for key in _OWN if key in row}
    # A missing text is a report that was never delivered: unscored. An empty one was delivered.
    text = _words(row, name)
    fields |= {"question_id": identifier(row), "text": "" if text is None else text}
    if text is None:
        fields = {"error": "no text", **fields, "status": "failed"}
    reference = own_reference(row, alone=alone) if alone else None
    if reference is not None:
        told = _words(row, reference)
        fields["reference"] = "" if told is None else told
    if REXRANK in row:
        # ReXrank scores a submission's text as it is.
        fields["form"] = REXRANK
    return fields


def example_fields(row: Mapping[str, Any], reference: str | None) -> dict[str, Any]:
    """A row as the fields of an `Example`.

    Args:
        reference: the name under which it holds its reference.

    Raises:
        Ambiguous: it has none.
    """
    if reference is None:
        raise Ambiguous("no reference", known_references())
    images = images_of(row)
    subject, study = whose(row, images)
    kept = {
        name: as_text(value) if name in SECTIONS else value
        for name, value in row.items()
        if name not in NOT_OF_EXAMPLES and not is_missing(value)
    }
    question = row.get("prompt") or ("" if reference == "text" else _question(row))
    return kept | {
        "question_id": identifier(row),
        "text": question,
        "image": images[:MOST_IMAGES],
        "reference": _words(row, reference),
        "subject_id": subject,
        "study_id": study,
    }


def _words(row: Mapping[str, Any], name: str) -> str | None:
    """The text of a field; None where it says nothing.

    Raises:
        ValueError: a number, several texts or the like.
    """
    found = as_text(row[name])
    if not isinstance(found, str | None):
        raise ValueError(f"`{name}`: a text was expected, not {found!r:.80}")
    return found


def images_of(row: Mapping[str, Any]) -> list[Any]:
    """The paths of a row's images, if any."""
    images = row.get("image")
    if isinstance(images, list | tuple):
        return list(images)
    return [images] if images and not is_missing(images) else []


def _question(row: Mapping[str, Any]) -> str:
    text = row.get("text")
    return text if isinstance(text, str) else ""


def identifier(row: Mapping[str, Any]) -> Any:
    """A row's id.

    Raises:
        Ambiguous: it has none.
    """
    name = identifier_of(row)
    if name is None:
        raise Ambiguous("no id")
    return row[name]


def records(
    rows: Rows, record: type[Record], adapt: Callable[[dict[str, Any]], dict[str, Any]]
) -> list[Record]:
    """Every row as a record; ids must be unique.

    Raises:
        InputError: all faults together, each with its place and id.
    """
    found: list[Record] = []
    faults: list[str] = []
    seen: dict[str, str] = {}
    hints: dict[str, None] = {}
    for place, row in zip(rows.places, rows.rows, strict=True):
        name = identifier_of(row)
        where = f"{place} (id {row.get(name) if name else None!r})"
        try:
            one = record.model_validate(adapt(row))
        except ValidationError as error:
            faults += [f"{where}: {fault}" for fault in explain(error)]
            continue
        except (ValueError, TypeError, RecursionError) as error:
            faults.append(f"{where}: {error}")
            if isinstance(error, Ambiguous) and error.hint:
                hints[error.hint] = None
            continue
        key = str(getattr(one, "question_id", place))
        if key in seen:
            faults.append(f"{place}: duplicate id {key!r}, first on {seen[key]}")
        seen.setdefault(key, place)
        found.append(one)
    if faults:
        raise InputError("\n".join([f"{rows.path}: " + listing(faults), *hints]))
    return found
