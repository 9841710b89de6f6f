"""Predictions and references of any form, matched: what `score` and `run --predictions` take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from libra_bench.core.errors import InputError
from libra_bench.core.fields import (
    NOT_OF_EXAMPLES,
    OF_ANSWERS,
    SECTIONS,
    Ambiguous,
    identifier_of,
    known_predictions,
    known_references,
    listed,
    prediction_of,
    reference_of,
)
from libra_bench.core.files import explain, listing
from libra_bench.core.ids import as_id, is_missing, whose
from libra_bench.core.records import MOST_IMAGES, Example, Prediction
from libra_bench.data.cohort import Cohort
from libra_bench.data.texts.rows import REXRANK, STDIN, Rows, as_text, column_names, read_rows

Record = TypeVar("Record", bound=BaseModel)
_OWN = (*OF_ANSWERS, "error", "metadata")
"""Fields of a prediction that are taken over as they are."""


@dataclass(frozen=True)
class Answers:
    """Predictions of one file.

    Attributes:
        examples: made of the same rows, where each holds its reference; else None.
        model_id: what the file calls the model, else the file's name.
        sha256: of the file.
    """

    path: Path
    predictions: list[Prediction]
    examples: list[Example] | None
    model_id: str
    sha256: str
    by_place: bool


def read_pairs(
    predictions: Path,
    references: Path | None = None,
    columns: Mapping[str, str] | None = None,
) -> tuple[list[Example], list[Prediction]]:
    """Examples and predictions with the same ids, in the order of the references' file.

    Args:
        predictions: our predictions, Libra's answers, or any file of `rows.read_rows`; with the
            references in it where `references` is None.
        references: a file of references; Libra's evaluation files are.
        columns: our names (`core.fields.CANONICAL`) of columns that the files call otherwise.

    Raises:
        InputError: a line without its fields or with too many, an id twice, files that are
            swapped, or that belong together by place and differ in length; all are named.
    """
    if references is not None and str(predictions) == str(references) == STDIN:
        raise InputError("predictions and references cannot both be read from standard input")
    answers = read_answers(predictions, columns, alone=references is None)
    if references is None:
        if answers.examples is None:
            raise _without_references(answers)
        return answers.examples, answers.predictions
    theirs = read_rows(references, "reference", columns)
    _all_named(columns, column_names(theirs) + answers.names)
    examples = _records(theirs, Example, lambda row: _example(row, reference_of(row), theirs))
    _place_by_place(answers, theirs)
    _swapped(answers, theirs)
    return [_with_patient(one, answers.patients) for one in examples], answers.predictions


@dataclass(frozen=True)
class _Read(Answers):
    names: list[str]
    patients: dict[str, tuple[Any, Any]]
    """By id, patient and study as far as the rows tell them."""


def read_answers(
    path: Path, columns: Mapping[str, str] | None = None, *, alone: bool = True
) -> _Read:
    """The predictions of one file, and its references where every row has one.

    Args:
        alone: the references, if any, stand in the same file.

    Raises:
        InputError: as `read_pairs`.
    """
    rows = read_rows(path, "prediction", columns)
    names = column_names(rows)
    if alone:
        _all_named(columns, names)
    patients: dict[str, tuple[Any, Any]] = {}

    def adapt(row: dict[str, Any]) -> dict[str, Any]:
        patients[str(as_id(_identifier(row)))] = whose(row, _images(row))
        return _prediction(row, alone=alone)

    predictions = _records(rows, Prediction, adapt)
    examples = None
    if alone and all(one.reference is not None for one in predictions):
        examples = _records(
            rows, Example, lambda row: _example(row, _own_reference(row, alone=True), rows)
        )
    models = {one.model_id for one in predictions} - {""}
    name = "standard input" if str(path) == STDIN else path.stem
    return _Read(
        path=path,
        predictions=predictions,
        examples=examples,
        model_id=models.pop() if len(models) == 1 else name,
        sha256=rows.sha256,
        by_place=rows.by_place,
        names=names,
        patients=patients,
    )


def _with_patient(example: Example, known: Mapping[str, tuple[Any, Any]]) -> Example:
    """The example with what only the other file tells of its patient."""
    if example.subject_id is not None or example.question_id not in known:
        return example
    subject, study = known[example.question_id]
    update = {"subject_id": subject, "study_id": example.study_id or study}
    return example.model_copy(update=update)


def _own_reference(row: Mapping[str, Any], *, alone: bool) -> str | None:
    """Where a row of predictions holds its reference, too."""
    return reference_of(row, taken=prediction_of(row, alone=alone) or "prediction")


def _prediction(row: Mapping[str, Any], *, alone: bool) -> dict[str, Any]:
    name = prediction_of(row, alone=alone)
    if name is None:
        raise Ambiguous("no prediction", known_predictions())
    fields = {key: row[key] for key in _OWN if key in row}
    # A missing text is a report that was never delivered: unscored. An empty one was delivered.
    text = as_text(row[name])
    fields |= {"question_id": _identifier(row), "text": "" if text is None else text}
    if text is None:
        fields = {"error": "no text", **fields, "status": "failed"}
    reference = _own_reference(row, alone=alone) if alone else None
    if reference is not None:
        told = as_text(row[reference])
        fields["reference"] = "" if told is None else told
    if REXRANK in row:
        # ReXrank scores a submission's text as it is.
        fields["form"] = REXRANK
    return fields


def _example(row: Mapping[str, Any], reference: str | None, rows: Rows) -> dict[str, Any]:
    if reference is None:
        raise Ambiguous("no reference", known_references())
    images = _images(row)
    subject, study = whose(row, images)
    kept = {
        name: as_text(value) if name in SECTIONS else value
        for name, value in row.items()
        if name not in NOT_OF_EXAMPLES and not is_missing(value)
    }
    question = row.get("prompt") or ("" if reference == "text" else _question(row))
    return kept | {
        "question_id": _identifier(row),
        "text": question,
        "image": images[:MOST_IMAGES],
        "reference": as_text(row[reference]),
        "subject_id": subject,
        "study_id": study,
    }


def _images(row: Mapping[str, Any]) -> list[Any]:
    images = row.get("image")
    return list(images) if isinstance(images, list | tuple) else [images] if images else []


def _question(row: Mapping[str, Any]) -> str:
    text = row.get("text")
    return text if isinstance(text, str) else ""


def _identifier(row: Mapping[str, Any]) -> Any:
    name = identifier_of(row)
    if name is None:
        raise Ambiguous("no id")
    return row[name]


def _records(
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


def _without_references(answers: Answers) -> InputError:
    silent = [one.question_id for one in answers.predictions if one.reference is None]
    return InputError(
        f"{answers.path}: no reference for id {listing(silent)}\n"
        f"--references FILE names the file that holds them; {known_references()}"
    )


def _place_by_place(answers: _Read, theirs: Rows) -> None:
    if answers.by_place != theirs.by_place:
        without, other = (
            (answers.path, theirs.path) if answers.by_place else (theirs.path, answers.path)
        )
        raise InputError(f"{without} has no ids, and {other} has: they cannot be matched")
    if answers.by_place and len(answers.predictions) != len(theirs.rows):
        raise InputError(
            f"{len(answers.predictions)} predictions in {answers.path}, {len(theirs.rows)} "
            f"references in {theirs.path}: without ids they belong together by their place"
        )


def _swapped(answers: _Read, theirs: Rows) -> None:
    """Refuse "predictions" that are the questions which the "references" answer."""
    texts = {one.question_id: one.text for one in answers.predictions}
    same = Counter[bool]()
    for row in theirs.rows:
        asked = row.get("prompt")
        if isinstance(asked, str) and asked:
            same[texts.get(str(as_id(_identifier(row)))) == asked] += 1
    if same[True] and not same[False]:
        raise InputError(
            f"{answers.path} holds the questions that {theirs.path} answers: are the files swapped?"
        )


def _all_named(columns: Mapping[str, str] | None, names: list[str]) -> None:
    """Refuse columns that were named and are nowhere; named ones were renamed already."""
    missing = [ours for ours in columns or {} if ours not in names]
    if missing:
        wanted = listed((columns or {})[ours] for ours in missing)
        raise InputError(f"--columns: no column {wanted}; there are {listed(names)}")


def cohort_of(
    predictions: Path, references: Path | None = None, columns: Mapping[str, str] | None = None
) -> Cohort:
    """The examples that a file of predictions, or the references beside it, are about.

    Raises:
        InputError: as `read_pairs`.
    """
    examples, _ = read_pairs(predictions, references, columns)
    source = references or predictions
    files = [one for one in (references, predictions) if one is not None and one.is_file()]
    return Cohort(
        name=source.stem if source.is_file() else "texts",
        spec=str(source),
        examples=examples,
        image_root=source.resolve().parent if any(one.image for one in examples) else None,
        sources=files,
        settings={"split": "as given", "prior_policy": "as given"},
    )
