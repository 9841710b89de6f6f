"""Prior images: which earlier image of the patient a study is compared with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from libra_bench.core.names import unknown_name

FRONTAL = ("PA", "AP")


@dataclass(frozen=True)
class Policy:
    """A rule, where it comes from, and how sure that is (H: read in code, M: second-hand)."""

    name: str
    rule: str
    source: str
    certainty: str
    apply: Callable[[pd.DataFrame], pd.DataFrame]


def libra(frame: pd.DataFrame) -> pd.DataFrame:
    """Libra's rule.

    Rows by split, patient, date and time; ties by `dicom_id`. Images of a patient's first date
    have no prior. The first image of each later date takes the last one before it, and all
    images of a date share that prior, whichever study they belong to.
    """
    ordered = frame.sort_values(
        ["split", "subject_id", "date", "time", "dicom_id"], kind="stable", na_position="first"
    ).reset_index(drop=True)
    patient = _starts(ordered, ["split", "subject_id"])
    day = patient | _starts(ordered, ["date"])
    first_of_day = np.maximum.accumulate(np.where(day, np.arange(len(ordered)), 0))
    before = first_of_day - 1
    known = ~patient[first_of_day] & (before >= 0)
    identifiers = ordered["dicom_id"].to_numpy()
    ordered["prior_dicom_id"] = np.where(known, identifiers[before], "")
    return ordered


def without(frame: pd.DataFrame) -> pd.DataFrame:
    """No prior at all."""
    ordered = frame.sort_values(["split", "subject_id", "date", "time", "dicom_id"], kind="stable")
    return ordered.reset_index(drop=True).assign(prior_dicom_id="")


POLICIES: dict[str, Policy] = {
    policy.name: policy
    for policy in (
        Policy(
            "libra",
            "the last image before the first one of the same date",
            "X-iZhang/Libra",
            "H",
            libra,
        ),
        Policy("none", "the current image only", "–", "H", without),
    )
}


def pair(frame: pd.DataFrame, policy: str = "libra", *, views: str = "all") -> pd.DataFrame:
    """Find each image's prior.

    Args:
        frame: a row an image: `split`, `subject_id`, `study_id`, `dicom_id`, `view`, `date`
            (YYYYMMDD) and `time`.
        policy: a name of `POLICIES`.
        views: `all`, or `frontal` (PA and AP): images are chosen before they are paired, so that
            a frontal image never gets a lateral prior.

    Returns:
        The chosen rows in the policy's order, with `prior_dicom_id` (empty where there is none).

    Raises:
        InputError: an unknown policy or view.

    Example:
        >>> frame = pd.DataFrame({"split": "train", "subject_id": "1", "study_id": ["a", "b"],
        ...     "dicom_id": ["x", "y"], "view": "PA", "date": [21000101, 21000201], "time": 0.0})
        >>> pair(frame)["prior_dicom_id"].tolist()
        ['', 'x']
    """
    if policy not in POLICIES:
        raise unknown_name("prior policy", policy, POLICIES)
    if views not in ("all", "frontal"):
        raise unknown_name("choice of views", views, ("all", "frontal"))
    chosen = frame[frame["view"].isin(FRONTAL)] if views == "frontal" else frame
    return POLICIES[policy].apply(chosen)


def image_path(subject: pd.Series, study: pd.Series, image: pd.Series) -> pd.Series:
    """PhysioNet's place of each image: `files/p10/p10000032/s50414267/<dicom_id>.jpg`."""
    return "files/p" + subject.str[:2] + "/p" + subject + "/s" + study + "/" + image + ".jpg"


def with_paths(paired: pd.DataFrame) -> pd.DataFrame:
    """Paired rows with `image` and `prior_image`, as `data pair` writes them."""
    place = image_path(paired["subject_id"], paired["study_id"], paired["dicom_id"])
    by_image = pd.Series(place.to_numpy(), index=paired["dicom_id"].to_numpy())
    return paired.assign(image=place, prior_image=paired["prior_dicom_id"].map(by_image).fillna(""))


def _starts(frame: pd.DataFrame, columns: list[str]) -> np.ndarray:
    """Where any of the columns differs from the row before; True in the first row."""
    starts = np.zeros(len(frame), dtype=bool)
    for column in columns:
        values = frame[column].to_numpy()
        starts[1:] |= values[1:] != values[:-1]
    starts[:1] = True
    return starts
