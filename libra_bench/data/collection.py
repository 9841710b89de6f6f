"""Figures of a collection in PhysioNet's tables, beside those that were published."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from libra_bench.data.pairing import POLICIES, pair
from libra_bench.data.sections import SECTIONS, parse
from libra_bench.data.tables import SPLITS

PUBLISHED = {
    "images": {"train": 368_960, "validate": 2_991, "test": 5_159},
    "studies": {"train": 222_758, "validate": 1_808, "test": 3_269},
    "patients": {"train": 64_586, "validate": 500, "test": 293},
}
"""MIMIC-CXR-JPG 2.0.0's official split (PhysioNet)."""
PUBLISHED_BLANK_VIEWS = 15_769
CLAIM = {
    "text": "67 % of patients have two or more studies",
    "share": 0.67,
    "certainty": "unverified: a guide states it without a source, and applies it to 377,110, "
    "which is the number of images",
}
WHOLE = 0.95
"""Of the published images, from which on a table counts as the whole collection."""
DAYS = (0, 1, 2, 8, 31, 91, 366, 1096)
"""Lower bounds of the classes of days between a study and its prior."""
UNITS = {"patients": "subject_id", "studies": "study_id", "images": "dicom_id"}


def describe(
    images: pd.DataFrame,
    *,
    views: str = "all",
    filter_when: str = "before",
    exclude: Collection[str] = (),
    reports: Iterable[tuple[str, str]] | None = None,
) -> dict[str, Any]:
    """What a collection holds.

    Args:
        images: as `tables.read_images` gives them.
        views, filter_when, exclude: as `pairing.pair`, for the figures by policy; all others
            are of every image.
        reports: (study, text) of the reports, for the sections present.

    Returns:
        JSON-like: `splits`, `views` and `split_views` (patients, studies, images), `repeated`
        (patients with two or more studies, and the claim about them), `policies` (studies with a
        prior and the days between), `sections` where reports are given, and `published` where
        the whole collection was read.
    """
    counts = {split: _counts(images[images["split"] == split]) for split in SPLITS}
    counts["all"] = _counts(images)
    by_patient = images.groupby("subject_id", sort=False)["study_id"].nunique()
    repeated = int((by_patient > 1).sum())
    per_patient = by_patient.clip(upper=10).value_counts().reindex(range(1, 11), fill_value=0)
    figures: dict[str, Any] = {
        "splits": counts,
        "views": _by_view(images),
        "split_views": {split: _by_view(images[images["split"] == split]) for split in SPLITS},
        "repeated": {
            "patients": repeated,
            "share": repeated / len(by_patient) if len(by_patient) else float("nan"),
            "studies_per_patient": {
                "10+" if number == 10 else str(number): int(patients)
                for number, patients in per_patient.items()
            },
            "claim": CLAIM,
        },
        "policies": {
            name: _priors(
                pair(images, name, views=views, filter_when=filter_when, exclude=exclude), images
            )
            for name in POLICIES
        },
        "options": {"views": views, "filter": filter_when, "excluded": len(exclude)},
    }
    if reports is not None:
        figures["sections"] = _sections(reports, set(images["study_id"]))
    published = sum(PUBLISHED["images"].values())
    if len(images) >= WHOLE * published:
        figures["published"] = _beside(counts, int((images["view"] == "").sum()))
    return figures


def day_number(dates: pd.Series) -> NDArray[np.int64]:
    """YYYYMMDD as days since 1970-01-01; MIMIC-CXR's lie after 2100."""
    values = dates.to_numpy(dtype=np.int64)
    months = (values // 10_000 - 1970) * 12 + values // 100 % 100 - 1
    first: NDArray[np.int64] = months.astype("M8[M]").astype("M8[D]").astype(np.int64)
    return first + values % 100 - 1


def _by_view(rows: pd.DataFrame) -> dict[str, dict[str, int]]:
    return {str(view) or "blank": _counts(own) for view, own in rows.groupby("view", sort=True)}


def _counts(rows: pd.DataFrame) -> dict[str, int]:
    return {unit: int(rows[column].nunique()) for unit, column in UNITS.items()}


def _priors(paired: pd.DataFrame, images: pd.DataFrame) -> dict[str, Any]:
    """Studies that a policy uses, those with a prior study, and the days between the two."""
    used = int(paired["study_id"].nunique())
    other = (paired["prior_dicom_id"] != "") & (paired["prior_study_id"] != paired["study_id"])
    with_prior = paired[other].drop_duplicates("study_id")
    taken = pd.Series(day_number(images["date"]), index=images["dicom_id"])
    between = (
        taken.reindex(with_prior["dicom_id"]).to_numpy()
        - taken.reindex(with_prior["prior_dicom_id"]).to_numpy()
    )
    return {
        "studies": used,
        "with_prior": len(with_prior),
        "share": len(with_prior) / used if used else float("nan"),
        "days": _days(between),
    }


def _days(between: NDArray[np.int64]) -> dict[str, Any]:
    if not len(between):
        return {"n": 0}
    low, middle, high = np.quantile(between, [0.25, 0.5, 0.75])
    bounds = np.array([*DAYS, np.iinfo(np.int64).max])
    inside = np.histogram(between[between >= 0], bounds)[0]
    names = [
        f"{low}+" if high == bounds[-1] else (f"{low}" if high == low + 1 else f"{low}–{high - 1}")
        for low, high in itertools.pairwise(bounds)
    ]
    return {
        "n": len(between),
        "quartiles": [float(low), float(middle), float(high)],
        "longest": int(between.max()),
        "prior_is_later": int((between < 0).sum()),
        "classes": dict(zip(names, map(int, inside), strict=True)),
    }


def _sections(reports: Iterable[tuple[str, str]], studies: set[str]) -> dict[str, Any]:
    """How many reports of the table's studies have each section."""
    present: Counter[str] = Counter()
    read = strangers = 0
    for name, text in reports:
        study = name.removeprefix("s")
        if study not in studies:
            strangers += 1
            continue
        read += 1
        present.update(section for section, body in parse(text).items() if body)
    return {
        "reports": read,
        "studies_without_report": len(studies) - read,
        "reports_of_other_studies": strangers,
        "present": {name: present[name] for name in SECTIONS},
    }


def _beside(counts: dict[str, dict[str, int]], blank_views: int) -> dict[str, Any]:
    """Published and found counts, side by side."""
    pairs = {
        f"{unit} {split}": (published, counts[split][unit])
        for unit, by_split in PUBLISHED.items()
        for split, published in by_split.items()
    }
    pairs["images without a view"] = (PUBLISHED_BLANK_VIEWS, blank_views)
    return {
        name: {"published": published, "found": found, "same": published == found}
        for name, (published, found) in pairs.items()
    }
