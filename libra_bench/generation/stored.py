"""A prediction log as an earlier start left it: whole lines, perhaps a last one that a kill cut."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from libra_bench.core.errors import InputError
from libra_bench.core.files import explain, iter_jsonl, lines_of, listing, parse_line, read_bytes
from libra_bench.core.records import Prediction

BEGINNING = b'{"question_id"'
"""Of every line that this program writes."""


@dataclass
class Stored:
    """What a log holds.

    Attributes:
        end: bytes that are whole lines, where something else follows them; None where nothing does.
        unended: whether the last line is whole but for its line break.
        healed: whether lines were left out because they say what others say.
    """

    predictions: dict[str, Prediction] = field(default_factory=dict)
    end: int | None = None
    unended: bool = False
    healed: bool = False


def read_stored(path: Path) -> Stored:
    """Read a log; the file is not touched.

    Lines of one id that say the same (two processes once wrote them) are one line, and a failed
    line counts for nothing beside one that is not.

    Raises:
        InputError: it is no file of predictions, or one id was answered in different ways; all
            faults are named.
    """
    content = read_bytes(path)
    cut = content.rfind(b"\n") + 1
    stored, tail = Stored(), content[cut:]
    if tail.strip():
        if _is_whole(path, tail):
            stored.unended = True
        elif tail.startswith(BEGINNING) or BEGINNING.startswith(tail):
            content, stored.end = content[:cut], cut
        else:
            raise InputError(f"{path}: not a file of predictions (its last line is none)")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start})") from None
    faults: list[str] = []
    first: dict[str, int] = {}
    for number, value in iter_jsonl(path, lines_of(text)):
        try:
            one = Prediction.model_validate(value)
        except ValidationError as error:
            named = value.get("question_id")
            faults += [f"line {number} (id {named!r}): {fault}" for fault in explain(error)]
            continue
        key = one.question_id
        before = stored.predictions.setdefault(key, one)
        if before is one:
            first[key] = number
            continue
        stored.healed = True
        if before.status == "failed":
            stored.predictions[key] = one
        elif one.status == "ok" and _said(one) != _said(before):
            faults.append(
                f"line {number}: id {key!r} is answered otherwise on line {first[key]}; "
                "delete one of the two lines"
            )
    if faults:
        raise InputError(f"{path}: " + listing(faults))
    return stored


def _is_whole(path: Path, tail: bytes) -> bool:
    try:
        parse_line(path, 0, tail.decode("utf-8"))
    except (InputError, UnicodeDecodeError):
        return False
    return True


def _said(prediction: Prediction) -> dict[str, object]:
    """A prediction without what differs between two that say the same."""
    return prediction.model_dump(exclude={"seconds", "question_state"})
