"""Rules that give each image its prior, as small pure functions over a frame.

Each takes a row an image (`split`, `subject_id`, `study_id`, `dicom_id`, `view`, `date` YYYYMMDD,
`time` HHMMSS.fff or NaN) in any order, and returns the rows it uses in its own order, with
`prior_dicom_id`, empty where there is none. No rule looks across splits or patients. A missing
time counts as the end of its day, where the published snippets' `sort_values` puts it. What a
publication leaves open is settled here the same way everywhere, so that the order of the rows
never matters: ties go by `study_id` as a number, then by `dicom_id`; of a prior study's images PA
is taken before AP before the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FRONTAL = ("PA", "AP")
HERGEN_SEQUENCE = 5
NO_TIME = 240_000.0
"""What a missing time sorts as: later than any HHMMSS."""
PATIENT = ("split", "subject_id")
STUDY = (*PATIENT, "study_id")


@dataclass(frozen=True)
class Policy:
    """A rule, where it comes from, and how sure that is.

    Attributes:
        certainty: H, read in the published code; M, second-hand; L, unverified.
        note: what everyone who uses the rule should know; empty where there is nothing.
    """

    name: str
    rule: str
    source: str
    certainty: str
    apply: Callable[[pd.DataFrame], pd.DataFrame]
    note: str = ""


def libra(frame: pd.DataFrame) -> pd.DataFrame:
    """Libra's rule.

    Rows by split, patient, date and time; ties by `dicom_id`. Images of a patient's first date
    have no prior. The first image of each later date takes the last one before it, and all
    images of a date share that prior, whichever study they belong to.
    """
    ordered = _in_order(frame, (*PATIENT, "date", "time", "dicom_id"))
    return _with_row_before(ordered, (*PATIENT, "date"))


def study(frame: pd.DataFrame) -> pd.DataFrame:
    """The nearest earlier study by date and time; earlier ones of the same day count."""
    return _nearest_study(_timed(frame), by=("moment",)).drop(columns="moment")


def longitudinal_mimic(frame: pd.DataFrame) -> pd.DataFrame:
    """By patient and date only: the preceding row of another study; without one it is dropped.

    The published code goes on with the first image of each study; here all of them share its prior.
    """
    ordered = _in_order(frame, (*PATIENT, "date", "study_id", "dicom_id"))
    paired = _with_row_before(ordered, STUDY)
    return paired[paired["prior_dicom_id"] != ""].reset_index(drop=True)


def hergen(frame: pd.DataFrame) -> pd.DataFrame:
    """PA and AP images in sequences of five; each takes the one before it in its sequence.

    The unit is the image: the one before may belong to the same study.
    """
    rows = frame[frame["view"].isin(FRONTAL)]
    ordered = _in_order(rows, (*PATIENT, "date", "time", "study_id", "dicom_id"))
    place = np.arange(len(ordered))
    first = np.maximum.accumulate(np.where(_starts(ordered, PATIENT), place, 0))
    known = (place - first) % HERGEN_SEQUENCE != 0
    return _with_priors(ordered, place - 1, known)


def mlrg(frame: pd.DataFrame) -> pd.DataFrame:
    """Studies by ascending `study_id`: the one before, one image of it of any view."""
    return _nearest_study(frame, by=(), prefer=())


def tibix(frame: pd.DataFrame) -> pd.DataFrame:
    """AP images only: the nearest earlier study by date and time."""
    return study(frame[frame["view"] == "AP"])


def coca_cxr(frame: pd.DataFrame) -> pd.DataFrame:
    """PA and AP images only: the nearest earlier study by date and time."""
    return study(frame[frame["view"].isin(FRONTAL)])


def without(frame: pd.DataFrame) -> pd.DataFrame:
    """No prior at all."""
    ordered = _in_order(frame, (*PATIENT, "date", "time", "dicom_id"))
    return ordered.assign(prior_dicom_id="")


POLICIES: dict[str, Policy] = {
    policy.name: policy
    for policy in (
        Policy(
            "libra",
            "the last image before the first one of the same date",
            "X-iZhang/Libra, README",
            "H",
            libra,
        ),
        Policy(
            "study",
            "the nearest earlier study; same-day earlier studies count",
            "CXRMate (Nicolson et al. 2024), aehrc/cxrmate",
            "H",
            study,
        ),
        Policy(
            "longitudinal-mimic",
            "the preceding row of another study by patient and date; dropped without one",
            "Longitudinal-MIMIC (Zhu et al. 2023), CelestialShine/Longitudinal-Chest-X-Ray",
            "H",
            longitudinal_mimic,
        ),
        Policy(
            "hergen",
            "PA and AP images in sequences of five; the one before in the sequence",
            "HERGen (Wang et al. 2024), fuying-wang/HERGen",
            "H",
            hergen,
            "its unit is the image: a prior may belong to the same study",
        ),
        Policy(
            "mlrg",
            "studies by ascending study_id; one image of the one before",
            "MLRG (Liu et al. 2025), mk-runner/MLRG",
            "H",
            mlrg,
            "it orders studies by study_id, which carries no order in time: "
            "a prior may have been made later than the study itself",
        ),
        Policy(
            "tibix",
            "AP images only; the nearest earlier study",
            "TiBiX (Sanjeev et al. 2024)",
            "M",
            tibix,
        ),
        Policy(
            "coca-cxr",
            "PA and AP images only; the nearest earlier study",
            "CoCa-CXR (Chen et al. 2025)",
            "L",
            coca_cxr,
            "it leaves out the studies of MS-CXR-T's test set: name them to have them left out",
        ),
        Policy("none", "the current image only", "–", "H", without),
    )
}


def _in_order(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Rows by several columns; numbers of a few bytes are sorted instead of texts."""
    keys = [_key(frame[name]) for name in by]
    order = np.lexsort(keys[::-1])
    return frame.take(order).reset_index(drop=True)


def _key(values: pd.Series) -> NDArray[np.generic]:
    """Numbers that sort as the column does."""
    if values.name == "view":
        return values.map({view: place for place, view in enumerate(FRONTAL)}).fillna(9).to_numpy()
    if pd.api.types.is_numeric_dtype(values):
        return values.fillna(NO_TIME).to_numpy()
    codes, unique = pd.factorize(values)
    texts = np.asarray(unique, dtype=str)
    # Study ids as numbers: the shorter is the smaller. Other texts as texts.
    lengths = np.char.str_len(texts) if values.name == "study_id" else np.zeros(len(texts))
    ranks = np.empty(len(texts), dtype=np.int64)
    ranks[np.lexsort((texts, lengths))] = np.arange(len(texts))
    return ranks[codes]


def _timed(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with `moment`: its study's earliest date and time as one sortable number."""
    # Counted from the first date, so that a float64 still holds milliseconds.
    days = frame["date"] - frame["date"].min()
    moment = days * (2 * NO_TIME) + frame["time"].fillna(NO_TIME)
    keys = [frame[name] for name in STUDY]
    return frame.assign(moment=moment.groupby(keys, sort=False).transform("min"))


def _nearest_study(
    frame: pd.DataFrame, by: Sequence[str], prefer: Sequence[str] = ("view",)
) -> pd.DataFrame:
    """Each row with the preferred image of the study before, in the order of `by`."""
    ordered = _in_order(frame, (*PATIENT, *by, "study_id", *prefer, "dicom_id"))
    starts = _starts(ordered, STUDY)
    first_rows = np.flatnonzero(starts)
    number = np.cumsum(starts) - 1
    known = ~_starts(ordered, PATIENT)[first_rows[number]]
    return _with_priors(ordered, first_rows[number - 1], known)


def _with_row_before(ordered: pd.DataFrame, group: Sequence[str]) -> pd.DataFrame:
    """Each row with the row before the first of its group, where that is the same patient's."""
    place = np.arange(len(ordered))
    first = np.maximum.accumulate(np.where(_starts(ordered, group), place, 0))
    return _with_priors(ordered, first - 1, ~_starts(ordered, PATIENT)[first])


def _with_priors(
    ordered: pd.DataFrame, rows: NDArray[np.intp], known: NDArray[np.bool_]
) -> pd.DataFrame:
    identifiers = ordered["dicom_id"].to_numpy()
    return ordered.assign(prior_dicom_id=np.where(known, identifiers[rows], ""))


def _starts(frame: pd.DataFrame, columns: Sequence[str]) -> NDArray[np.bool_]:
    """Where any of the columns differs from the row before; True in the first row."""
    starts = np.zeros(len(frame), dtype=bool)
    for column in columns:
        values = frame[column].to_numpy()
        starts[1:] |= values[1:] != values[:-1]
    starts[:1] = True
    return starts
