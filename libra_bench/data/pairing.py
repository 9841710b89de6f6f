"""Prior images: which earlier image of the patient a study is compared with."""

from __future__ import annotations

import io
from collections.abc import Collection, Sequence
from itertools import combinations
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from libra_bench.core.errors import InputError
from libra_bench.core.files import listing, write_atomic
from libra_bench.core.ids import as_id
from libra_bench.core.names import unknown_name
from libra_bench.data.priors import FRONTAL, POLICIES, Policy
from libra_bench.data.tables import is_date, is_time

__all__ = [
    "FILTERS",
    "FRONTAL",
    "POLICIES",
    "VIEWS",
    "compare",
    "pair",
    "policy_named",
    "with_paths",
]

COLUMNS = ("split", "subject_id", "study_id", "dicom_id", "view", "date", "time")
PHYSIONET = {"ViewPosition": "view", "StudyDate": "date", "StudyTime": "time"}
"""PhysioNet's names of columns that are called otherwise here."""
VIEWS = ("all", "frontal")
FILTERS = ("before", "after")


class Difference(NamedTuple):
    """How two policies treat the same studies.

    Attributes:
        studies: studies of which an image gets another prior, or is used by one policy only.
        prior_studies: those where the prior belongs to another study, or is there in one only.
    """

    first: str
    second: str
    studies: int
    prior_studies: int


def pair(
    frame: pd.DataFrame,
    policy: str = "libra",
    *,
    views: str = "all",
    filter_when: str = "before",
    exclude: Collection[str] = (),
) -> pd.DataFrame:
    """Find each image's prior.

    Args:
        frame: a row an image: `split`, `subject_id`, `study_id`, `dicom_id`, `view`, `date`
            (YYYYMMDD) and `time`; or as PhysioNet's tables call them (`ViewPosition`,
            `StudyDate`, `StudyTime`). Without `split` all are of one.
        policy: a name of `POLICIES`.
        views: `all`, or `frontal` (PA and AP).
        filter_when: whether images are chosen `before` they are paired, so that a frontal image
            never gets a lateral prior, or `after`, so that it may.
        exclude: ids of studies and images that are left out, at the same time as other views.

    Returns:
        The chosen rows in the policy's order, ids as text, with `prior_dicom_id` and
        `prior_study_id` (empty where there is none). Policies that use some images only leave out
        the others.

    Raises:
        InputError: an unknown policy, view or time of filtering; columns that are missing; an
            image twice, a row without split, a date or a time that is none.

    Example:
        >>> frame = pd.DataFrame({"split": "train", "subject_id": "1", "study_id": ["a", "b"],
        ...     "dicom_id": ["x", "y"], "view": "PA", "date": [21000101, 21000201], "time": 0.0})
        >>> pair(frame)["prior_dicom_id"].tolist()
        ['', 'x']
    """
    apply = policy_named(policy).apply
    if views not in VIEWS:
        raise unknown_name("choice of views", views, VIEWS)
    if filter_when not in FILTERS:
        raise unknown_name("time of filtering", filter_when, FILTERS)
    frame = _named_and_typed(frame)
    if filter_when == "before":
        paired = apply(_chosen(frame, views, exclude))
    else:
        paired = _chosen(apply(frame), views, exclude).reset_index(drop=True)
    studies = pd.Series(frame["study_id"].to_numpy(), index=frame["dicom_id"].to_numpy())
    # Of no rows at all pandas would make a column of numbers.
    prior = paired["prior_dicom_id"].map(studies).fillna("").astype(str)
    return paired.assign(prior_study_id=prior)


def compare(
    frame: pd.DataFrame,
    policies: Sequence[str] = tuple(POLICIES),
    *,
    views: str = "all",
    filter_when: str = "before",
    exclude: Collection[str] = (),
) -> list[Difference]:
    """How many studies each pair of policies treats differently.

    Raises:
        InputError: as `pair`.
    """
    frame = _named_and_typed(frame)
    images = pd.Index(frame["dicom_id"])
    study = pd.factorize(frame["study_id"])[0]
    unused = len(images)

    def priors(policy: str) -> tuple[np.ndarray, np.ndarray]:
        # Per image its prior's row, -1 for none, and `unused` where the policy leaves it out.
        paired = pair(frame, policy, views=views, filter_when=filter_when, exclude=exclude)
        rows = np.full(len(images), unused)
        rows[images.get_indexer(paired["dicom_id"])] = images.get_indexer(paired["prior_dicom_id"])
        return rows, np.append(study, [unused, -1])[rows]

    found = {policy: priors(policy) for policy in dict.fromkeys(policies)}
    return [
        Difference(
            first,
            second,
            *(
                len(np.unique(study[one != other]))
                for one, other in zip(found[first], found[second], strict=True)
            ),
        )
        for first, second in combinations(found, 2)
    ]


def policy_named(name: str) -> Policy:
    """The policy of that name.

    Raises:
        InputError: there is none.
    """
    if name not in POLICIES:
        raise unknown_name("prior policy", name, POLICIES)
    return POLICIES[name]


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a table of texts as CSV, quoted only where a text must be.

    pandas takes seconds for as many rows as MIMIC-CXR has images.
    """
    import pyarrow as pa
    from pyarrow import csv as arrow

    table = pa.Table.from_pandas(frame, preserve_index=False)
    head = f"{','.join(frame.columns)}\n".encode()

    def rows(quotes: Literal["none", "needed"]) -> bytes:
        buffer = io.BytesIO()
        options = arrow.WriteOptions(include_header=False, quoting_style=quotes)
        arrow.write_csv(table, buffer, options)
        return buffer.getvalue()

    try:
        write_atomic(path, head + rows("none"))
    except pa.ArrowInvalid:
        # An id with a comma or a quote in it; then every text is quoted.
        write_atomic(path, head + rows("needed"))


def image_path(subject: pd.Series, study: pd.Series, image: pd.Series) -> pd.Series:
    """PhysioNet's place of each image: `files/p10/p10000032/s50414267/<dicom_id>.jpg`."""
    return "files/p" + subject.str[:2] + "/p" + subject + "/s" + study + "/" + image + ".jpg"


def with_paths(paired: pd.DataFrame) -> pd.DataFrame:
    """Paired rows with `image` and `prior_image`, as `data pair` writes them."""
    place = image_path(paired["subject_id"], paired["study_id"], paired["dicom_id"])
    prior = image_path(paired["subject_id"], paired["prior_study_id"], paired["prior_dicom_id"])
    return paired.assign(image=place, prior_image=prior.where(paired["prior_dicom_id"] != "", ""))


def _named_and_typed(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame as the rules read it: our names, ids as text, dates and times as numbers."""
    if not isinstance(frame, pd.DataFrame):
        raise InputError(f"frame: a pandas DataFrame was expected, not {type(frame).__name__}")
    frame = frame.rename(columns=PHYSIONET)
    if "split" not in frame:
        frame = frame.assign(split="")
    missing = [name for name in COLUMNS if name not in frame]
    if missing:
        raise InputError(f"no column {', '.join(missing)}; there are {', '.join(frame.columns)}")
    other: dict[str, pd.Series] = {
        name: _ids_as_text(frame[name]) for name in ("subject_id", "study_id", "dicom_id")
    }
    for name in ("date", "time"):
        if not pd.api.types.is_numeric_dtype(frame[name]):
            other[name] = pd.to_numeric(frame[name], errors="coerce")
    undated = other.get("date", frame["date"]).isna().to_numpy()
    if undated.any():
        place = int(undated.argmax())
        raise InputError(
            f"row {place} of the frame: no date YYYYMMDD ({frame['date'].iloc[place]})"
        )
    _require_possible(frame.assign(**other), frame)
    if frame["view"].isna().any():
        other["view"] = frame["view"].fillna("")
    return frame.assign(**other)


def _require_possible(typed: pd.DataFrame, given: pd.DataFrame) -> None:
    """Refuse what no order can be made of: the rules would answer, and answer nonsense.

    Args:
        typed: the frame as the rules read it.
        given: the same rows as they came.

    Raises:
        InputError: an image twice, a row without split, a day or a time that there is not; the
            first row of each kind is named.
    """
    time = typed["time"]
    checks = (
        (typed["dicom_id"].duplicated(), "dicom_id", "an image for the second time"),
        (given["split"].isna(), "split", "no split"),
        (~is_date(typed["date"]), "date", "no date YYYYMMDD"),
        (~is_time(time) & ~(time.isna() & _blank(given["time"])), "time", "no time HHMMSS"),
    )
    faults = [
        f"row {place} of the frame: {label} ({given[name].iloc[place]})"
        for wrong, name, label in checks
        if wrong.any()
        for place in (int(wrong.to_numpy().argmax()),)
    ]
    if faults:
        raise InputError(listing(faults))


def _blank(values: pd.Series) -> pd.Series:
    """Where nothing was said: NaN, or text of white space."""
    if pd.api.types.is_numeric_dtype(values):
        return values.isna()
    return values.isna() | (values.astype(str).str.strip() == "")


def _ids_as_text(values: pd.Series) -> pd.Series:
    """A column of ids as text, whatever pandas made of them: 10000032, 10000032.0, "10000032.0".

    Raises:
        InputError: a row without one.
    """
    blank = values.isna().to_numpy()
    if blank.any():
        raise InputError(f"row {int(blank.argmax())} of the frame: no {values.name}")
    if pd.api.types.is_integer_dtype(values):
        return values.astype("int64").astype(str)
    if pd.api.types.is_string_dtype(values) and not values.str.endswith(".0").any():
        return values
    try:
        return values.map({one: as_id(one) for one in values.unique()}).astype(str)
    except ValueError as error:
        raise InputError(f"column {values.name} of the frame: {error}") from None


def _chosen(frame: pd.DataFrame, views: str, exclude: Collection[str]) -> pd.DataFrame:
    if views == "frontal":
        frame = frame[frame["view"].isin(FRONTAL)]
    if exclude:
        frame = frame[~(frame["study_id"].isin(exclude) | frame["dicom_id"].isin(exclude))]
    return frame
