"""The names under which files hold predictions and references, in the order they are read.

One place for `score`, `run --predictions` and every message that lists them. The published
evaluation (X-iZhang/Libra, `libra/eval/radiology_report.py`) reads the first there is of
`reference`, `findings`, `impression`, `text`, in both files. In a file of references that order
is kept. In a file of predictions it would score the reference against itself where a line holds
both, so names that say "prediction" come first there, and `text` is a prediction only where
nothing says that it is the question.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from libra_bench.core.ids import PATIENT_FIELDS, is_missing

IDS = ("question_id", "id", "case_id", "dicom_id", "image_id", "study_id", "uid")
PREDICTIONS = (
    "prediction",
    "model_prediction",
    "pred",
    "predicted",
    "predicted_report",
    "generated",
    "generated_text",
    "generated_report",
    "candidate",
    "hypothesis",
    "hyp",
    "output",
    "answer",
    "response",
)
"""What can only be a prediction."""
REFERENCES = (
    "reference",
    "references",
    "ground_truth",
    "groundtruth",
    "ground_truth_report",
    "gold",
    "ref",
    "gt",
    "gt_report",
    "target",
    "reference_report",
)
"""What can only be a reference."""
SECTIONS = ("findings", "section_findings", "impression", "section_impression")
REXRANK = "rexrank"
"""The field of a row that holds a study's own fields in ReXrank's JSON."""
EITHER_PREDICTION = ("text", "report", *SECTIONS)
EITHER_REFERENCE = (*SECTIONS, "report", "text")
"""What the file's part decides: a prediction among predictions, a reference among references."""
COLUMNS_HINT = "--columns NAME=COLUMN names others"
OF_ANSWERS = ("answer_id", "prompt", "model_id", "status", "new_tokens", "seconds")
"""What stands in files of answers (ours and Libra's) and in no file of questions."""
CANONICAL = (
    "question_id",
    "prediction",
    "reference",
    "subject_id",
    "study_id",
    "split",
    "view",
    "image",
    "model_id",
)
"""What `--columns NAME=COLUMN` may name."""

_QUESTION = re.compile(
    r"\s*(<image>|(provide|describe|generate|write|please|give|what|which|can you|could you"
    r"|is there|are there|list|summari[sz]e|you are)\b)|.*\?\s*$",
    re.IGNORECASE | re.DOTALL,
)


class Ambiguous(ValueError):
    """A line of which nobody can say what is to be scored.

    Args:
        hint: what mends it, said once for a whole file.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def plain_name(name: Any) -> str:
    """A column's name as these lists write it: `Ground Truth` is `ground_truth`."""
    return re.sub(r"[\s-]+", "_", str(name).strip()).lower()


def identifier_of(row: Mapping[str, Any]) -> str | None:
    """The name under which a row holds its id; None where it has none."""
    return next((name for name in IDS if not is_missing(row.get(name))), None)


def prediction_of(row: Mapping[str, Any], *, alone: bool) -> str | None:
    """The name under which a row holds its prediction; None where it holds none.

    Args:
        alone: the references stand in the same file.

    Raises:
        Ambiguous: several predictions, or a text that is the question.
    """
    if (named := _only(row, PREDICTIONS, "predictions")) is not None:
        return named
    there = [name for name in EITHER_PREDICTION if name in row]
    if not there:
        return None
    if there[0] == "report" and len(there) > 1:
        said = f"no prediction; `report` and `{there[1]}` are those of the study"
        raise Ambiguous(said, known_predictions())
    if REXRANK in row and there[0] in SECTIONS:
        said = f"no prediction; `{there[0]}` is the study's own"
        raise Ambiguous(said, known_predictions())
    if alone and there[0] != "text" and _only(row, REFERENCES, "references") is None:
        # A table of reports: nothing in it was predicted.
        raise Ambiguous(f"no prediction beside {listed(there)}", known_predictions())
    answered = any(name in row for name in OF_ANSWERS)
    if there[0] == "text" and not answered:
        text = row["text"]
        swapped = "" if alone else ". Are the files swapped?"
        if isinstance(text, str) and _QUESTION.match(text):
            raise Ambiguous(
                f"`text` is a question ({text[:60]!r}) and no field holds a prediction; the line "
                f"looks like an example{swapped}"
            )
        # Whatever the question's words and language: who names an image and no answer asks.
        if not is_missing(row.get("image")) and row["image"] != []:
            raise Ambiguous(
                "`text` stands beside `image` and nothing says that it is an answer; the line "
                f"looks like an example{swapped}",
                "--columns prediction=text says that it is the prediction",
            )
        others = [name for name in there[1:] if not is_missing(row[name])]
        if others and not alone:
            said = f"`text` and `{others[0]}`: which one is the prediction?"
            raise Ambiguous(said, "--columns prediction=NAME says which")
    return there[0]


def reference_of(row: Mapping[str, Any], *, taken: str | None = None) -> str | None:
    """The name under which a row holds its reference; None where it holds none.

    A null says nothing, so that the next name is read; of null alone the first is named. A section
    that is null hides the one behind it: of a file with both, no study is scored by its other one.

    Args:
        taken: the name of the row's prediction, where both stand in one row; then `text` is none.

    Raises:
        Ambiguous: several references, or a row that is a prediction or a question without one.
    """
    named = _only(row, REFERENCES, "references")
    if named is not None and not is_missing(row[named]):
        return named
    for name in EITHER_REFERENCE:
        if name not in row or name == taken:
            continue
        if name != "text":
            return name if named is None or not is_missing(row[name]) else named
        # Beside a reference that is null, it is whatever it would be beside one that is told.
        if taken is None and named is None:
            _refuse_other_texts(row)
            return name
    return named


def _refuse_other_texts(row: Mapping[str, Any]) -> None:
    """`text` is a reference only where nothing says that it is an answer or a question."""
    said = [name for name in (*PREDICTIONS, *OF_ANSWERS) if name in row]
    if said:
        raise Ambiguous(
            f"no reference; `{said[0]}` says that the line is a prediction. Are the files swapped?"
        )
    text = row["text"]
    if row.get("image") or (isinstance(text, str) and _QUESTION.match(text)):
        raise Ambiguous("no reference; `text` is the question of an example", known_references())


def _only(row: Mapping[str, Any], names: Sequence[str], what: str) -> str | None:
    """The one of `names` that a row uses; one that is there but empty where all are."""
    there = [name for name in names if name in row]
    told = [name for name in there if not is_missing(row[name])]
    if any(row[name] != row[told[0]] for name in told[1:]):
        raise Ambiguous(f"several {what}: {listed(told)}", COLUMNS_HINT)
    return next(iter(told or there), None)


def without_empty_sections(rows: Sequence[dict[str, Any]]) -> None:
    """Take out of rows the sections of which no row says anything: columns that tables fill up."""
    for name in SECTIONS:
        if all(is_missing(row.get(name)) for row in rows):
            for row in rows:
                row.pop(name, None)


def listed(names: Iterable[str]) -> str:
    """Names as messages show them."""
    return ", ".join(f"`{name}`" for name in names)


def known_predictions() -> str:
    """The accepted names of a prediction, for messages."""
    return f"a prediction is called {listed((*PREDICTIONS, *EITHER_PREDICTION))}; {COLUMNS_HINT}"


def known_references() -> str:
    """The accepted names of a reference, for messages."""
    return f"a reference is called {listed((*REFERENCES, *EITHER_REFERENCE))}; {COLUMNS_HINT}"


NOT_OF_EXAMPLES = frozenset(
    {*PREDICTIONS, *REFERENCES, *OF_ANSWERS, *PATIENT_FIELDS, "text", "error", "metadata"}
)
"""Fields of a row that say nothing about the study: an example made of the row is without them."""
