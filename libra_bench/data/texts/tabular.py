"""Tables of texts, CSV, TSV and Parquet, as rows with our form of the columns' names."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from libra_bench.core.columnar import read_parquet
from libra_bench.core.errors import InputError
from libra_bench.core.fields import listed, plain_name
from libra_bench.core.files import listing

DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_NOTHING = ["", "nan", "NaN"]
Placed = Iterator[tuple[str, dict[str, Any]]]
"""(place, row): rows are counted as an editor counts the lines of a table, header included."""


def csv_rows(path: Path, content: bytes, delimiter: str) -> Placed:
    """Rows of a CSV table; cells may hold line breaks.

    Raises:
        InputError: no such table, rows of more or fewer cells, a column twice.
    """
    import pyarrow as pa
    from pyarrow import csv as arrow

    faults: list[str] = []

    def uneven(row: arrow.InvalidRow) -> str:
        faults.append(f"row {row.number}: {row.actual_columns} fields, not {row.expected_columns}")
        return "skip"

    if not content.strip():
        return
    try:
        header = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", newline="")
        # As they stand: with other names the types would be guessed, and 007 would be 7.
        names = next(csv.reader(header, delimiter=delimiter), [])
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start})") from None
    except csv.Error as error:
        raise InputError(f"{path}: not a CSV table ({error})") from None
    try:
        table = arrow.read_csv(
            pa.BufferReader(content),
            # A row must fit into one block.
            read_options=arrow.ReadOptions(
                use_threads=False, block_size=min(max(len(content), 1 << 20), 2**31 - 1)
            ),
            parse_options=arrow.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, invalid_row_handler=uneven
            ),
            convert_options=arrow.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                # pandas writes a missing text as nothing and an empty one as two quotes.
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                null_values=_NOTHING,
            ),
        )
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{path}: not a CSV table ({str(error).splitlines()[0]})") from None
    if faults:
        raise InputError(f"{path}: {listing(faults)}")
    for place, row in _of_arrow(path, table, first=2):
        # Unquoted tables may have a text that begins with a mark; it would swallow the next rows.
        if delimiter == "\t" and any(_holds_rows(row, column) for column in range(len(row))):
            raise InputError(
                f"{path}: {place}: rows stand in one cell; is a quotation mark not closed?"
            )
        yield place, row


def _holds_rows(row: dict[str, Any], column: int) -> bool:
    """Whether a cell's lines have the tabs that the rest of its row, whole rows and the beginning
    of another have."""
    cells = list(row.values())
    cell = cells[column]
    if not isinstance(cell, str) or "\n" not in cell:
        return False
    tabs = [line.count("\t") for line in cell.split("\n")]
    last = len(cells) - 1
    return last > 0 and tabs == [last - column, *[last] * (len(tabs) - 2), column]


def parquet_rows(path: Path, content: bytes) -> Placed:
    """Rows of a Parquet table, from 0.

    Raises:
        InputError: no such table, or a column twice.
    """
    yield from _of_arrow(path, read_parquet(path, content), first=0)


def _of_arrow(path: Path, table: Any, first: int) -> Placed:
    import pyarrow as pa

    names = [plain_name(name) for name in table.column_names]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InputError(f"{path}: several columns {listed(repeated)}")
    try:
        values = table.to_pylist()
    except (pa.ArrowException, UnicodeDecodeError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None
    for number, row in enumerate(values, start=first):
        yield f"row {number}", dict(zip(names, row.values(), strict=True))
