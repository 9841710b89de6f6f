"""PhysioNet's tables, read strictly: what is wrong with one is named by file and row."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

import numpy as np
import pandas as pd

from libra_bench.core.errors import InputError
from libra_bench.core.files import listing

SPLITS = ("train", "validate", "test")
GZIP = b"\x1f\x8b"
IDS = ("dicom_id", "subject_id", "study_id")
METADATA = ("dicom_id", "subject_id", "study_id", "ViewPosition", "StudyDate", "StudyTime")


def read_table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Named columns of a CSV file as text, blanks as empty text; gzip is unpacked.

    Raises:
        InputError: the file is missing, cut off, not UTF-8, lacks a column (as with a wrong
            delimiter), has no rows, or rows of more or fewer fields than columns; by row.
    """
    there = _header(path)
    missing = [name for name in columns if name not in there]
    if missing:
        other = next((one for one in "\t;|" if one in there[0]), None)
        hint = f" (perhaps separated by {other!r})" if other else ""
        raise InputError(
            f"{path}, row 1: no column {', '.join(missing)}; separated by commas it has "
            + ", ".join(there)
            + hint
        )
    frame, faults = _read_csv(path, columns)
    if faults:
        raise InputError(f"{path}: {listing(faults)}")
    if frame.empty:
        raise InputError(f"{path}: no rows below the names of its columns")
    ids = {name: _whole_ids(frame[name]) for name in columns if name in IDS}
    return frame.assign(**ids)


def _whole_ids(values: pd.Series) -> pd.Series:
    """Ids as text; of those that pandas wrote as floats (`10000032.0`) the digits."""
    written = values.str.endswith(".0")
    return values.where(~written, values.str.removesuffix(".0")) if written.any() else values


def _header(path: Path) -> list[str]:
    """Names of the columns, one at least."""
    with _opened(path) as stream:
        try:
            line = stream.readline().decode("utf-8-sig")
        except UnicodeDecodeError:
            raise InputError(f"{path}, row 1: not UTF-8 text") from None
    if not line.strip():
        raise InputError(f"{path}: not a CSV table (row 1 is empty)")
    return next(csv.reader([line.strip("\r\n")]))


def _read_csv(path: Path, columns: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """The columns, and one message a row that has another number of fields."""
    import pyarrow as pa
    from pyarrow import csv as arrow

    faults: list[str] = []

    def uneven(row: arrow.InvalidRow) -> str:
        faults.append(
            f"row {row.number}: {row.actual_columns} fields, not {row.expected_columns}"
            f" ({row.text[:60]!r})"
        )
        return "skip"

    # pandas' own reader fills short rows up and cuts long ones, without a word.
    with _opened(path) as stream:
        try:
            table = arrow.read_csv(
                # Read here: a stream of Python would be read by a thread that may outlive us.
                pa.BufferReader(stream.read()),
                # Rows have numbers only where one thread reads them all.
                read_options=arrow.ReadOptions(use_threads=False),
                parse_options=arrow.ParseOptions(invalid_row_handler=uneven),
                convert_options=arrow.ConvertOptions(
                    include_columns=list(columns),
                    column_types=dict.fromkeys(columns, pa.string()),
                    strings_can_be_null=False,
                ),
            )
        except pa.ArrowInvalid as error:
            raise InputError(f"{path}: not a CSV table ({_not_utf8(path) or error})") from None
    return table.to_pandas(), faults


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """The file's bytes, unpacked where it is packed; what stops their reading as an InputError."""
    try:
        with path.open("rb") as plain:
            packed = path.suffix == ".gz" or plain.read(2) == GZIP
        with cast(IO[bytes], gzip.open(path) if packed else path.open("rb")) as stream:
            yield stream
    except EOFError:
        raise InputError(
            f"{path}: cannot be read: the gzip stream is cut off after row {_whole_rows(path)}"
        ) from None
    except (OSError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None


def _not_utf8(path: Path) -> str:
    """The first row that is not UTF-8 text; empty where all are."""
    with _opened(path) as stream:
        for number, line in enumerate(stream, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                return f"row {number}: not UTF-8 text, byte {error.start}; perhaps Latin-1"
    return ""


def _whole_rows(path: Path) -> int:
    """Rows before a gzip stream breaks off."""
    unpacker, rows = zlib.decompressobj(wbits=31), 0
    with path.open("rb") as stream:
        while block := stream.read(1 << 16):
            rows += unpacker.decompress(block).count(b"\n")
    return rows


def read_metadata(path: Path) -> pd.DataFrame:
    """Images with subject, study, view, date and time.

    Returns:
        A row an image: `dicom_id`, `subject_id`, `study_id`, `view` (text, `""` where blank),
        `date` (YYYYMMDD, int64) and `time` (HHMMSS.fff, float64, which sorts as time does).

    Raises:
        InputError: missing columns, an image twice, dates or times that are none; with the rows.
    """
    raw = read_table(path, METADATA)
    frame = pd.DataFrame(
        {
            "dicom_id": raw["dicom_id"],
            "subject_id": raw["subject_id"],
            "study_id": raw["study_id"],
            "view": raw["ViewPosition"],
            "date": pd.to_numeric(raw["StudyDate"], errors="coerce"),
            # A float HHMMSS.fff without leading zeros: 80556.875 is 08:05:56.
            "time": pd.to_numeric(raw["StudyTime"], errors="coerce"),
        }
    )
    faults = _repeated(raw["dicom_id"])
    for name in ("subject_id", "study_id"):
        faults += _rows(raw[name].str.strip() == "", raw[name], f"no {name}")
    faults += _rows(~is_date(frame["date"]), raw["StudyDate"], "StudyDate is no YYYYMMDD")
    faults += _torn(frame, "study_id", "subject_id", "study of two patients")
    untimed = raw["StudyTime"].str.strip() == ""
    faults += _rows(~untimed & ~is_time(frame["time"]), raw["StudyTime"], "StudyTime is no HHMMSS")
    if faults:
        raise InputError(f"{path}: {listing(faults)}")
    frame["date"] = frame["date"].astype("int64")
    return frame


def read_splits(path: Path) -> pd.DataFrame:
    """The official split: `dicom_id`, `study_id`, `subject_id`, `split`.

    Raises:
        InputError: missing columns, an image twice, an unknown split, a patient in two.
    """
    frame = read_table(path, ("dicom_id", "study_id", "subject_id", "split"))
    faults = _repeated(frame["dicom_id"])
    faults += _rows(~frame["split"].isin(SPLITS), frame["split"], "unknown split")
    faults += _torn(frame, "subject_id", "split", "patient in two splits")
    faults += _torn(frame, "study_id", "split", "study in two splits")
    faults += _torn(frame, "study_id", "subject_id", "study of two patients")
    if faults:
        raise InputError(f"{path}: {listing(faults)}")
    return frame


def read_images(metadata: Path, split_file: Path) -> tuple[pd.DataFrame, list[str]]:
    """Both tables joined (see `join`); what is wrong with either is reported together.

    Raises:
        InputError: as `read_metadata`, `read_splits` and `join`.
    """
    tables, faults = [], []
    for read, path in ((read_metadata, metadata), (read_splits, split_file)):
        try:
            tables.append(read(path))
        except InputError as error:
            faults.append(str(error))
    if faults:
        raise InputError("\n".join(faults))
    try:
        return join(*tables)
    except InputError as error:
        raise InputError(f"{metadata} and {split_file}: {error}") from None


def read_normal(path: Path) -> dict[str, bool]:
    """By study, whether a table of CheXpert's or NegBio's labels says that nothing was found.

    Raises:
        InputError: missing columns.
    """
    frame = read_table(path, ("study_id", "No Finding"))
    positive = pd.to_numeric(frame["No Finding"], errors="coerce") == 1
    return dict(zip(frame["study_id"], positive.tolist(), strict=True))


def read_ids(path: Path) -> frozenset[str]:
    """Ids of studies and images to leave out: the columns `study_id` and `dicom_id` of a table.

    Raises:
        InputError: the file cannot be read, or has neither column.
    """
    columns = [name for name in ("study_id", "dicom_id") if name in _header(path)]
    if not columns:
        raise InputError(f"{path}: neither study_id nor dicom_id among its columns")
    frame = read_table(path, columns)
    # Some lists write s50414267 where PhysioNet's tables write 50414267.
    return frozenset(
        text.removeprefix("s") if name == "study_id" else text
        for name in columns
        for text in frame[name]
        if text
    )


def join(metadata: pd.DataFrame, splits: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Metadata with each image's split, and the images that stand in one table only.

    Raises:
        InputError: images under another patient or study in each table, all named; or none that
            stands in both.
    """
    both = metadata.assign(row=np.arange(len(metadata)) + 2).merge(
        splits.assign(row_of_split=np.arange(len(splits)) + 2),
        on="dicom_id",
        how="outer",
        suffixes=("", "_of_split"),
        indicator="found",
    )
    matched = both[both["found"] == "both"]
    if matched.empty:
        raise InputError(
            "no image stands in both: "
            f"{metadata['dicom_id'].iloc[0]!r} in row 2 of the one, "
            f"{splits['dicom_id'].iloc[0]!r} in row 2 of the other"
        )
    faults = [
        f"image {one.dicom_id!r}: another {name} in row {one.row:.0f} of the metadata "
        f"than in row {one.row_of_split:.0f} of the split file"
        for name in ("subject_id", "study_id")
        for one in matched[matched[name] != matched[f"{name}_of_split"]].itertuples()
    ]
    if faults:
        raise InputError(listing(faults))
    lonely = both.loc[both["found"] != "both", "dicom_id"].tolist()
    return matched[[*metadata.columns, "split"]].astype({"date": "int64"}), lonely


def is_date(values: pd.Series) -> pd.Series:
    """Whether numbers are YYYYMMDD with a month and a day that there is."""
    year, month, day = values // 10_000, values // 100 % 100, values % 100
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    longest = month.map({2: 28, 4: 30, 6: 30, 9: 30, 11: 30}).fillna(31) + (leap & (month == 2))
    return (
        values.between(10_000_000, 99_999_999)
        & (values % 1 == 0)
        & month.between(1, 12)
        & (day >= 1)
        & (day <= longest)
    )


def is_time(values: pd.Series) -> pd.Series:
    """Whether numbers may be HHMMSS.fff; they only have to sort as time does."""
    return values.between(0, 240_000, inclusive="left")


def _repeated(images: pd.Series) -> list[str]:
    """One message a row whose image stood in an earlier one."""
    places = images.duplicated().to_numpy().nonzero()[0]
    if not len(places):
        return []
    first = dict(zip(images[::-1], range(len(images) + 1, 1, -1), strict=True))
    return [
        f"row {place + 2}: image twice ({one!r}), first in row {first[one]}"
        for place, one in zip(places, images.iloc[places], strict=True)
    ]


def _torn(frame: pd.DataFrame, unit: str, by: str, label: str) -> list[str]:
    """One message a row of a unit that has several values of what it should have one of."""
    units, values = pd.factorize(frame[unit])[0], pd.factorize(frame[by])[0]
    first = np.full(len(frame), -1)
    first[units[::-1]] = values[::-1]
    torn = np.isin(units, units[values != first[units]])
    return _rows(pd.Series(torn), frame[unit], label)


def _rows(wrong: pd.Series, values: pd.Series, label: str) -> list[str]:
    """One message a wrong row; rows are counted as an editor counts lines, header included."""
    places = wrong.to_numpy().nonzero()[0]
    return [f"row {place + 2}: {label} ({values.iloc[place]!r})" for place in places]
