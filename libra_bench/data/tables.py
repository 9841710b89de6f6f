"""PhysioNet's tables, read strictly: what is wrong with one is named by file and row."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from libra_bench.core.errors import InputError
from libra_bench.core.files import listing

SPLITS = ("train", "validate", "test")
METADATA = ("dicom_id", "subject_id", "study_id", "ViewPosition", "StudyDate", "StudyTime")


def read_table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Named columns of a CSV file as text, blanks as empty text; `.gz` is unpacked.

    Raises:
        InputError: the file is missing, cut off, or lacks a column (as with a wrong delimiter).
    """
    there = _header(path)
    missing = [name for name in columns if name not in there]
    if missing:
        raise InputError(
            f"{path}, row 1: no column {', '.join(missing)}; separated by commas it has "
            + ", ".join(there)
        )
    # Only these columns: 377,110 rows of all of them would be twice the memory.
    return _read_csv(path, usecols=list(columns), dtype=str, keep_default_na=False)


def _header(path: Path) -> list[str]:
    return [str(name) for name in _read_csv(path, nrows=0).columns]


def _read_csv(path: Path, **options: Any) -> pd.DataFrame:
    try:
        return pd.read_csv(path, **options)
    except EOFError:
        raise InputError(
            f"{path}: cannot be read: the gzip stream is cut off after row {_whole_rows(path)}"
        ) from None
    except (OSError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a CSV table ({str(error).strip()})") from None


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
    faults += _rows(~_is_date(frame["date"]), raw["StudyDate"], "StudyDate is no YYYYMMDD")
    faults += _torn(frame, "study_id", "subject_id", "study of two patients")
    untimed = raw["StudyTime"].str.strip() == ""
    faults += _rows(~untimed & ~_is_time(frame["time"]), raw["StudyTime"], "StudyTime is no HHMMSS")
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
    return join(*tables)


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
        InputError: images under another patient or study in each table; all are named.
    """
    both = metadata.assign(row=np.arange(len(metadata)) + 2).merge(
        splits.assign(row_of_split=np.arange(len(splits)) + 2),
        on="dicom_id",
        how="outer",
        suffixes=("", "_of_split"),
        indicator="found",
    )
    matched = both[both["found"] == "both"]
    faults = [
        f"image {one.dicom_id!r}: another {name} in row {one.row:.0f} of the metadata "
        f"than in row {one.row_of_split:.0f} of the split file"
        for name in ("subject_id", "study_id")
        for one in matched[matched[name] != matched[f"{name}_of_split"]].itertuples()
    ]
    if faults:
        raise InputError(f"metadata and split file disagree: {listing(faults)}")
    lonely = both.loc[both["found"] != "both", "dicom_id"].tolist()
    return matched[[*metadata.columns, "split"]].astype({"date": "int64"}), lonely


def _is_date(values: pd.Series) -> pd.Series:
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


def _is_time(values: pd.Series) -> pd.Series:
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
