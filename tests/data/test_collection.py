"""Figures of a collection, counted by hand and one by one."""

import copy
import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from libra_bench.core.errors import InputError
from libra_bench.data import collection
from libra_bench.data.collection import day_number, describe
from libra_bench.data.collection_page import tables, write_figure

ROWS = [
    # split, patient, study, image, view, date, time
    ("train", "10", "1", "a", "PA", 21000228, 1.0),
    ("train", "10", "1", "b", "LATERAL", 21000228, 1.0),
    ("train", "10", "2", "c", "AP", 21000301, 1.0),
    ("train", "10", "3", "d", "AP", 21000301, 2.0),
    ("test", "11", "4", "e", "", 21500101, 1.0),
]
REPORTS = [
    ("s1", "\n FINDINGS:  Clear.\n"),
    ("s2", "\n FINDINGS:  Clear.\n \n IMPRESSION:  Normal.\n"),
    ("s9", "\n FINDINGS:  Of nobody.\n"),
]


@pytest.fixture
def images() -> pd.DataFrame:
    columns = ["split", "subject_id", "study_id", "dicom_id", "view", "date", "time"]
    return pd.DataFrame(ROWS, columns=columns)


def test_counts_by_hand(images: pd.DataFrame) -> None:
    figures = describe(images, reports=REPORTS)
    assert figures["splits"]["train"] == {"patients": 1, "studies": 3, "images": 4}
    assert figures["splits"]["validate"] == {"patients": 0, "studies": 0, "images": 0}
    assert figures["splits"]["all"] == {"patients": 2, "studies": 4, "images": 5}
    assert figures["views"]["AP"] == {"patients": 1, "studies": 2, "images": 2}
    assert figures["views"]["blank"]["images"] == 1
    assert figures["split_views"]["train"]["PA"] == {"patients": 1, "studies": 1, "images": 1}
    assert list(figures["split_views"]["test"]) == ["blank"]
    assert (figures["repeated"]["patients"], figures["repeated"]["share"]) == (1, 0.5)
    per_patient = figures["repeated"]["studies_per_patient"]
    assert {number: count for number, count in per_patient.items() if count} == {"1": 1, "3": 1}
    assert (len(per_patient), list(per_patient)[-1]) == (10, "10+")
    # 2100 is no leap year: 28 February and 1 March follow each other.
    libra, study = figures["policies"]["libra"], figures["policies"]["study"]
    assert (libra["with_prior"], libra["share"], libra["days"]["quartiles"]) == (2, 0.5, [1, 1, 1])
    assert study["days"]["quartiles"] == [0.25, 0.5, 0.75]
    assert (study["days"]["classes"]["0"], study["days"]["classes"]["1"]) == (1, 1)
    assert figures["policies"]["none"] == {
        "studies": 4,
        "with_prior": 0,
        "share": 0.0,
        "days": {"n": 0},
    }
    sections = figures["sections"]
    assert (sections["reports"], sections["studies_without_report"]) == (2, 2)
    assert sections["reports_of_other_studies"] == 1
    assert (sections["present"]["findings"], sections["present"]["impression"]) == (2, 1)
    assert "published" not in figures


def test_two_studies_are_repeated_ones(images: pd.DataFrame) -> None:
    two = describe(images[images["study_id"] != "3"])["repeated"]
    assert (two["patients"], two["share"]) == (1, 0.5)
    one = describe(images[~images["study_id"].isin(["2", "3"])])["repeated"]
    assert (one["patients"], one["share"]) == (0, 0.0)


def test_an_image_of_the_same_study_is_no_prior_study(images: pd.DataFrame) -> None:
    alone = images[images["study_id"] == "1"].assign(view="PA")
    assert describe(alone)["policies"]["hergen"]["with_prior"] == 0


def test_later_priors_are_counted(images: pd.DataFrame) -> None:
    backwards = images.assign(date=[21000228, 21000228, 21000101, 21000101, 21500101])
    days = describe(backwards)["policies"]["mlrg"]["days"]
    assert (days["n"], days["prior_is_later"]) == (2, 1)


def test_days_are_those_of_the_calendar() -> None:
    rng = np.random.default_rng(0)
    drawn = [datetime.date.fromordinal(int(one)) for one in rng.integers(600_000, 900_000, 300)]
    numbers = pd.Series([one.year * 10_000 + one.month * 100 + one.day for one in drawn])
    epoch = datetime.date(1970, 1, 1).toordinal()
    assert day_number(numbers).tolist() == [one.toordinal() - epoch for one in drawn]


def test_published_counts_stand_beside_the_whole(
    images: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = copy.deepcopy(collection.PUBLISHED)
    published["images"] = {"train": 4, "validate": 0, "test": 1}
    monkeypatch.setattr(collection, "PUBLISHED", published)
    beside = describe(images)["published"]
    assert beside["images train"] == {"published": 4, "found": 4, "same": True}
    assert beside["patients test"] == {"published": 293, "found": 1, "same": False}


def test_page_and_figure(images: pd.DataFrame, tmp_path: Path) -> None:
    figures = describe(images, reports=REPORTS)
    write_figure(figures, tmp_path / "page.html")
    write_figure(figures, tmp_path / "figure.png")
    page = (tmp_path / "page.html").read_text()
    assert page.count("<table>") == len(tables(figures)) == 6
    assert "claimed (unverified)" in page and "<svg" in page and "<script" not in page
    assert "a guide states it without a source" in page and "not the whole collection" in page
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match=r"ends with \.html or \.png"):
        write_figure(figures, tmp_path / "figure.pdf")
