"""PhysioNet's tables, read strictly: what is wrong with one is named by file and row."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path

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
    try:
        # Only these columns: 377,110 rows of all of them would be twice the memory.
        head = pd.read_csv(path, nrows=0)
        missing = [name for name in columns if name not in head.columns]
        if missing:
            there = ", ".join(map(str, head.columns))
            raise InputError(f"{path}: no column {', '.join(missing)}; it has {there}")
        return pd.read_csv(path, usecols=list(columns), dtype=str, keep_default_na=False)
    except (OSError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a CSV table ({str(error).strip()})") from None


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
    faults = _rows(raw["dicom_id"].duplicated(), raw["dicom_id"], "image twice")
    for name in ("subject_id", "study_id"):
        faults += _rows(raw[name].str.strip() == "", raw[name], f"no {name}")
    faults += _rows(~_is_date(frame["date"]), raw["StudyDate"], "StudyDate is no YYYYMMDD")
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
    faults = _rows(frame["dicom_id"].duplicated(), frame["dicom_id"], "image twice")
    faults += _rows(~frame["split"].isin(SPLITS), frame["split"], "unknown split")
    by_patient = frame.groupby("subject_id")["split"].nunique()
    torn = by_patient[by_patient > 1].index
    faults += _rows(frame["subject_id"].isin(torn), frame["subject_id"], "patient in two splits")
    by_study = frame.groupby("study_id")["split"].nunique()
    torn = by_study[by_study > 1].index
    faults += _rows(frame["study_id"].isin(torn), frame["study_id"], "study in two splits")
    if faults:
        raise InputError(f"{path}: {listing(faults)}")
    return frame


def join(metadata: pd.DataFrame, splits: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Metadata with each image's split, and the images that stand in one table only.

    Raises:
        InputError: images under another patient or study in each table; all are named.
    """
    both = metadata.merge(
        splits, on="dicom_id", how="outer", suffixes=("", "_of_split"), indicator="found"
    )
    matched = both[both["found"] == "both"]
    faults = [
        f"image {image!r}: another {name} in each table"
        for name in ("subject_id", "study_id")
        for image in matched.loc[matched[name] != matched[f"{name}_of_split"], "dicom_id"]
    ]
    if faults:
        raise InputError(f"metadata and split file disagree: {listing(faults)}")
    lonely = both.loc[both["found"] != "both", "dicom_id"].tolist()
    return matched[[*metadata.columns, "split"]].astype({"date": "int64"}), lonely


def _is_date(values: pd.Series) -> pd.Series:
    """Whether numbers are YYYYMMDD with a month and a day that there may be."""
    month, day = values // 100 % 100, values % 100
    return (
        values.between(10_000_000, 99_999_999)
        & (values % 1 == 0)
        & month.between(1, 12)
        & day.between(1, 31)
    )


def _is_time(values: pd.Series) -> pd.Series:
    """Whether numbers may be HHMMSS.fff; they only have to sort as time does."""
    return values.between(0, 240_000, inclusive="left")


def _rows(wrong: pd.Series, values: pd.Series, label: str) -> list[str]:
    """One message a wrong row; rows are counted as an editor counts lines, header included."""
    places = wrong.to_numpy().nonzero()[0]
    return [f"row {place + 2}: {label} ({values.iloc[place]!r})" for place in places]
