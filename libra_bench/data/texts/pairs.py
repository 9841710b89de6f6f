"""Predictions and references of any form, matched: what `score` and `run --predictions` take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from libra_bench.core.errors import InputError
from libra_bench.core.fields import (
    PREDICTIONS,
    known_references,
    listed,
    reference_of,
    without_empty_sections,
)
from libra_bench.core.files import listing
from libra_bench.core.ids import as_id, whose
from libra_bench.core.records import Example, Prediction
from libra_bench.data.cohort import Cohort
from libra_bench.data.texts.records import (
    example_fields,
    identifier,
    images_of,
    own_reference,
    prediction_fields,
    records,
)
from libra_bench.data.texts.rows import STDIN, Rows, column_names, read_rows


@dataclass(frozen=True)
class Answers:
    """Predictions of one file.

    Attributes:
        examples: made of the same rows, where each holds its reference; else None.
        model_id: what the file calls the model, else the file's name.
        sha256: of the file.
        by_place: it has no ids.
        names: of all fields of its rows.
        patients: by id, patient and study as far as the rows tell them.
    """

    path: Path
    predictions: list[Prediction]
    examples: list[Example] | None
    model_id: str
    sha256: str
    by_place: bool
    names: list[str]
    patients: dict[str, tuple[Any, Any]]


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
    if references is not None and _one_file(predictions, references):
        raise InputError(
            f"{predictions}: named as predictions and as references, so that a text would be "
            "scored against itself; leave --references out where one file holds both"
        )
    answers = read_answers(predictions, columns, alone=references is None)
    if references is None:
        if answers.examples is None:
            raise _without_references(answers)
        return answers.examples, answers.predictions
    theirs = read_rows(references, "reference", columns)
    _all_named(columns, column_names(theirs) + answers.names)
    without_empty_sections(theirs.rows)
    examples = records(theirs, Example, lambda row: example_fields(row, reference_of(row)))
    _place_by_place(answers, theirs)
    _swapped(answers, theirs)
    return [_with_patient(one, answers.patients) for one in examples], answers.predictions


def _one_file(first: Path, second: Path) -> bool:
    return first.is_file() and second.is_file() and first.samefile(second)


def read_answers(
    path: Path, columns: Mapping[str, str] | None = None, *, alone: bool = True
) -> Answers:
    """The predictions of one file, and its references where every row has one.

    Args:
        alone: the references, if any, stand in the same file.

    Raises:
        InputError: as `read_pairs`.
    """
    rows = read_rows(path, "prediction", columns)
    names = column_names(rows)
    # Other columns may be those of the references' file.
    _all_named(
        {name: one for name, one in (columns or {}).items() if alone or name == "prediction"}, names
    )
    if alone and set(PREDICTIONS) & set(names):
        # Where nothing else says what was predicted, they tell that a row is a study's own.
        without_empty_sections(rows.rows)
    patients: dict[str, tuple[Any, Any]] = {}

    def adapt(row: dict[str, Any]) -> dict[str, Any]:
        patients[str(as_id(identifier(row)))] = whose(row, images_of(row))
        return prediction_fields(row, alone=alone)

    predictions = records(rows, Prediction, adapt)
    examples = None
    if alone and all(one.reference is not None for one in predictions):
        examples = records(
            rows, Example, lambda row: example_fields(row, own_reference(row, alone=True))
        )
    models = {one.model_id for one in predictions} - {""}
    name = "standard input" if str(path) == STDIN else path.stem
    return Answers(
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


def _without_references(answers: Answers) -> InputError:
    silent = [one.question_id for one in answers.predictions if one.reference is None]
    return InputError(
        f"{answers.path}: no reference for id {listing(silent)}\n"
        f"--references FILE names the file that holds them; {known_references()}"
    )


def _place_by_place(answers: Answers, theirs: Rows) -> None:
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


def _swapped(answers: Answers, theirs: Rows) -> None:
    """Refuse "predictions" that are the questions which the "references" answer."""
    texts = {one.question_id: one.text for one in answers.predictions}
    same = Counter[bool]()
    for row in theirs.rows:
        asked = row.get("prompt")
        if isinstance(asked, str) and asked:
            same[texts.get(str(as_id(identifier(row)))) == asked] += 1
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
