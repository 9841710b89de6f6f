"""Any file of texts as rows: JSONL, JSON, ReXrank's JSON, CSV, TSV, Parquet, a text a line."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from libra_bench.core.errors import InputError
from libra_bench.core.fields import (
    EITHER_PREDICTION,
    IDS,
    PREDICTIONS,
    REFERENCES,
    REXRANK,
    identifier_of,
    plain_name,
)
from libra_bench.core.files import (
    iter_jsonl,
    lines_expected,
    lines_of,
    listing,
    parse_json,
    parse_line,
    read_bytes,
)
from libra_bench.core.ids import is_missing
from libra_bench.data.rexrank import identity, image_place
from libra_bench.data.texts.tabular import DELIMITERS, Placed, csv_rows, parquet_rows

STDIN = "-"
PARQUET = b"PAR1"
OTHERS = {
    b"PK\x03\x04": "a spreadsheet (.xlsx) or a zip archive; save its table as .csv in UTF-8",
    b"\x1f\x8b": "packed by gzip; unpack it first",
    b"\xff\xfe": "UTF-16 text; save it as UTF-8",
    b"\xfe\xff": "UTF-16 text; save it as UTF-8",
}
"""What files begin with that hold no text as it is read here, and what mends it."""
KNOWN = frozenset({*IDS, *PREDICTIONS, *REFERENCES, *EITHER_PREDICTION})


@dataclass
class Rows:
    """Rows of one file.

    Attributes:
        places: where each stands, for messages: `line 3`, `row 3`, `study 'x'`.
        by_place: the rows have no ids and belong to those of the other file by their place.
        sha256: of the file's bytes.
    """

    path: Path
    places: list[str] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    by_place: bool = False
    sha256: str = ""

    def add(self, place: str, row: dict[str, Any]) -> None:
        """One more row."""
        self.places.append(place)
        self.rows.append(row)

    def extend(self, placed: Placed) -> None:
        """Rows with their places."""
        for place, row in placed:
            self.add(place, row)


def read_rows(path: Path, role: str, columns: Mapping[str, str] | None = None) -> Rows:
    """A file's rows, its names of columns as `core.fields` writes them.

    Args:
        path: the file; `-` is standard input. What it holds is told by its end (`.csv`, `.tsv`,
            `.parquet`, `.jsonl`, `.json`, `.txt`), else by how it begins.
        role: `prediction` or `reference`: what a file holds whose texts have no name.
        columns: our names of columns that the file calls otherwise.

    Raises:
        InputError: the file cannot be read, or holds no rows.
    """
    rows = Rows(path)
    _fill(rows, role)
    if not rows.rows:
        raise InputError(f"{path}: no records in it")
    _in_our_letters(rows)
    _rename(rows, columns or {})
    if all(identifier_of(row) is None for row in rows.rows):
        rows.by_place = True
        for number, row in enumerate(rows.rows, start=1):
            row["question_id"] = str(number)
    return rows


@lru_cache(maxsize=4)
def _piped(path: Path) -> bytes:
    """What came through a pipe, which gives it once; the same file may be asked for twice."""
    return sys.stdin.buffer.read() if str(path) == STDIN else read_bytes(path)


def _fill(rows: Rows, role: str) -> None:
    content = read_bytes(rows.path) if rows.path.is_file() else _piped(rows.path)
    rows.sha256 = hashlib.sha256(content).hexdigest()
    _refuse_packed(rows.path, content)
    suffix = rows.path.suffix.lower()
    if suffix == ".parquet" or content.startswith(PARQUET):
        rows.extend(parquet_rows(rows.path, content))
        return
    if suffix in DELIMITERS:
        rows.extend(csv_rows(rows.path, content, _own_delimiter(content, DELIMITERS[suffix])))
        return
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{rows.path}: not UTF-8 text (byte {error.start})") from None
    start = text.lstrip()[:1]
    if suffix in (".jsonl", ".ndjson"):
        del content  # Of many reports, one form at a time.
        _lines_of_json(rows, text)
    elif suffix == ".txt":
        _lines(rows, text, role)
    elif suffix == ".json" or start in ("{", "["):
        if start == "{" and _first_line_is_a_record(rows.path, text):
            _lines_of_json(rows, text)
        else:
            _json(rows, _parsed(rows.path, content), role)
    elif (delimiter := _delimiter(text)) is not None:
        rows.extend(csv_rows(rows.path, content, delimiter))
    else:
        _lines(rows, text, role)


def _refuse_packed(path: Path, content: bytes) -> None:
    """Refuse what would be no text, or lines of other letters than were written.

    Raises:
        InputError: a spreadsheet, something packed, or text in UTF-16.
    """
    for start, what in OTHERS.items():
        if content.startswith(start):
            raise InputError(f"{path}: {what}")


def _first_line_is_a_record(path: Path, text: str) -> bool:
    """Whether an object that begins a file is one line of JSONL rather than the whole of it."""
    first = next(line for line in lines_of(text) if line.strip())
    try:
        value = parse_line(path, 1, first)
    except InputError:
        return False
    return _is_record(value)


def _is_record(value: dict[str, Any]) -> bool:
    """Whether an object is a record rather than records by their ids."""
    return not all(isinstance(one, dict) for one in value.values()) and any(
        plain_name(name) in KNOWN for name in value
    )


def _parsed(path: Path, content: bytes) -> Any:
    """The JSON of a file that ends with `.json`, or that begins as JSON does.

    Raises:
        InputError: it is none.
    """
    try:
        return parse_json(path, content, unique=True)
    except InputError as error:
        if path.suffix.lower() == ".json":
            raise
        raise InputError(
            f"{error}; it begins as JSON does: a file of a text a line is called .txt"
        ) from None


def _own_delimiter(content: bytes, usual: str) -> str:
    """What separates the columns: spreadsheets in many languages write `;` into a .csv file."""
    header = content.partition(b"\n")[0].decode("utf-8-sig", "replace")
    return usual if usual in header else _delimiter(header) or usual


def _delimiter(text: str) -> str | None:
    """What separates the columns of a table without a telling name; None where it is no table."""
    header = text.partition("\n")[0]
    for delimiter in ("\t", ",", ";", "|"):
        names = {plain_name(name.strip('"\r')) for name in header.split(delimiter)}
        if len(names) > 1 and names & KNOWN:
            return delimiter
    return None


def _lines_of_json(rows: Rows, text: str) -> None:
    with lines_expected(rows.path, text):
        for number, value in iter_jsonl(rows.path, lines_of(text)):
            rows.add(f"line {number}", value)


def _lines(rows: Rows, text: str, role: str) -> None:
    lines = text.split("\n")
    for number, line in enumerate(lines[:-1] if lines[-1] == "" else lines, start=1):
        rows.add(f"line {number}", {role: line.rstrip("\r")})


def _json(rows: Rows, value: Any, role: str) -> None:
    if isinstance(value, dict) and value:
        if _is_record(value):
            rows.add("object 0", value)
            return
        for key, row in value.items():
            place = f"study {key!r}"
            if isinstance(row, str):
                rows.add(place, {"question_id": key, role: row})
            elif isinstance(row, dict):
                rows.add(place, _study(rows.path, place, key, row))
            else:
                raise InputError(f"{rows.path}, {place}: an object or a text was expected")
        return
    if not isinstance(value, list):
        raise InputError(
            f"{rows.path}: a list of objects, or ReXrank's {{id: {{…}}}}, was expected"
        )
    faults = []
    for number, row in enumerate(value):
        if isinstance(row, dict) and "conversations" not in row:
            rows.add(f"object {number}", row)
        else:
            faults.append(f"object {number}: an object with texts was expected")
    if faults:
        raise InputError(f"{rows.path}: {listing(faults)}")


def _study(path: Path, place: str, key: str, row: dict[str, Any]) -> dict[str, Any]:
    """A study of ReXrank's predictions JSON; its own fields stay together for the leaderboard."""
    try:
        subject, study = identity(key, row)
    except ValueError as error:
        raise InputError(f"{path}, {place}: {error}") from None
    own = {name: value for name, value in row.items() if name not in PREDICTIONS}
    fields = {"question_id": key, **row, "subject_id": subject, "study_id": study}
    images = [image_place(row["key_image_path"])] if row.get("key_image_path") else []
    return {**fields, "image": images, **({REXRANK: own} if _is_rexrank(row) else {})}


def _is_rexrank(row: Mapping[str, Any]) -> bool:
    return "section_findings" in row or "section_impression" in row


def _in_our_letters(rows: Rows) -> None:
    """Write known names as we do, where JSON has them as tables may: `Prediction`, `Study ID`."""
    for row in rows.rows:
        for name in [one for one in row if one not in KNOWN]:
            if (ours := plain_name(name)) in KNOWN and ours not in row:
                row[ours] = row.pop(name)


def _rename(rows: Rows, columns: Mapping[str, str]) -> None:
    """Give the columns that the user named our names; others of the same kind go."""
    kinds: dict[str, Sequence[str]] = {
        "prediction": PREDICTIONS,
        "reference": REFERENCES,
        "question_id": ("question_id",),
    }
    for ours, theirs in columns.items():
        for row in rows.rows:
            there = next((name for name in (theirs, plain_name(theirs)) if name in row), None)
            if there is None:
                continue
            value = row[there]
            for name in kinds.get(ours, (ours,)):
                row.pop(name, None)
            row[ours] = value


def column_names(rows: Rows) -> list[str]:
    """All names of the rows, in the order in which they come."""
    return list(dict.fromkeys(name for row in rows.rows for name in row))


def as_text(value: Any) -> Any:
    """A text that stands alone in a list, as captioning tools write references, as itself."""
    if isinstance(value, list | tuple) and len(value) == 1:
        return as_text(value[0])
    return None if is_missing(value) else value
