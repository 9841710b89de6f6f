"""Each prior rule against a slow reading of it, one image at a time, on drawn frames."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libra_bench.core.errors import InputError
from libra_bench.data.pairing import POLICIES, Difference, compare, pair, with_paths

COLUMNS = ["split", "subject_id", "study_id", "dicom_id", "view", "date", "time"]
Row = dict[str, Any]
Oracle = Callable[[list[Row]], dict[str, str]]


def clock(row: Row) -> tuple[int, float]:
    return row["date"], float("inf") if np.isnan(row["time"]) else row["time"]


def number(row: Row) -> int:
    return int(row["study_id"])


def patients(rows: list[Row]) -> list[list[Row]]:
    keys = sorted({(row["split"], row["subject_id"]) for row in rows})
    return [[row for row in rows if (row["split"], row["subject_id"]) == key] for key in keys]


def studies(rows: list[Row]) -> list[list[Row]]:
    ids = {row["study_id"] for row in rows}
    return [[row for row in rows if row["study_id"] == one] for one in ids]


def best(images: list[Row]) -> str:
    """PA before AP before the rest, then the smallest id."""
    rank = {"PA": 0, "AP": 1}
    return min(images, key=lambda one: (rank.get(one["view"], 2), one["dicom_id"]))["dicom_id"]


def nearest(rows: list[Row]) -> dict[str, str]:
    """The latest of the studies before; each is as early as its earliest image."""
    priors = {}
    for own in patients(rows):
        everything = studies(own)
        moment = {one[0]["study_id"]: (min(map(clock, one)), number(one[0])) for one in everything}
        for current in everything:
            now = moment[current[0]["study_id"]]
            earlier = [one for one in everything if moment[one[0]["study_id"]] < now]
            chosen = max(earlier, key=lambda one: moment[one[0]["study_id"]], default=None)
            for row in current:
                priors[row["dicom_id"]] = best(chosen) if chosen else ""
    return priors


def by_number(rows: list[Row]) -> dict[str, str]:
    priors = {}
    for own in patients(rows):
        for row in own:
            smaller = [one for one in own if number(one) < number(row)]
            last = max(map(number, smaller), default=None)
            images = [one["dicom_id"] for one in smaller if number(one) == last]
            priors[row["dicom_id"]] = min(images, default="")
    return priors


def preceding_row(rows: list[Row]) -> dict[str, str]:
    priors = {}
    for own in patients(rows):
        ordered = sorted(own, key=lambda row: (row["date"], number(row), row["dicom_id"]))
        for place, row in enumerate(ordered):
            before = [one for one in ordered[:place] if one["study_id"] != row["study_id"]]
            if before:
                priors[row["dicom_id"]] = before[-1]["dicom_id"]
    return priors


def blocks_of_five(rows: list[Row]) -> dict[str, str]:
    priors = {}
    frontal = [row for row in rows if row["view"] in ("PA", "AP")]
    for own in patients(frontal):
        ordered = sorted(own, key=lambda row: (*clock(row), number(row), row["dicom_id"]))
        while ordered:
            block, ordered = ordered[:5], ordered[5:]
            history = ""
            for row in block:
                priors[row["dicom_id"]] = history
                history = row["dicom_id"]
    return priors


def last_before_the_day(rows: list[Row]) -> dict[str, str]:
    """Libra's rule, which knows images only: for each, the last one of any earlier date."""
    priors = {}
    for own in patients(rows):
        for row in own:
            earlier = [one for one in own if one["date"] < row["date"]]
            last = max(earlier, key=lambda one: (*clock(one), one["dicom_id"]), default=None)
            priors[row["dicom_id"]] = last["dicom_id"] if last else ""
    return priors


ORACLES: dict[str, Oracle] = {
    "libra": last_before_the_day,
    "study": nearest,
    "longitudinal-mimic": preceding_row,
    "hergen": blocks_of_five,
    "mlrg": by_number,
    "tibix": lambda rows: nearest([row for row in rows if row["view"] == "AP"]),
    "coca-cxr": lambda rows: nearest([row for row in rows if row["view"] in ("PA", "AP")]),
    "none": lambda rows: {row["dicom_id"]: "" for row in rows},
}


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    """Patients with same-day studies, equal and missing times, ids whose order is not that of
    their texts, images of one study at different times; shuffled."""
    rows = []
    for study in range(draw(st.integers(0, 9))):
        patient = draw(st.sampled_from(["train-10", "train-11", "test-12"]))
        split, subject = patient.split("-")
        date = 21000101 + draw(st.integers(0, 2))
        # 98, 99, 100, 101, ...: as texts they would sort otherwise.
        identifier = str(98 + draw(st.permutations(range(9)))[study] * 10 + study)
        for _ in range(draw(st.integers(1, 3))):
            time = draw(st.sampled_from([float("nan"), 0.0, 80556.875, 120000.0]))
            view = draw(st.sampled_from(["PA", "AP", "LATERAL", ""]))
            image = f"{draw(st.integers(0, 9))}-{len(rows)}"
            rows.append((split, subject, identifier, image, view, date, time))
    frame = pd.DataFrame(draw(st.permutations(rows)), columns=COLUMNS)
    return frame.astype({"date": "int64", "time": "float64"})


def found(frame: pd.DataFrame) -> dict[str, str]:
    return dict(zip(frame["dicom_id"], frame["prior_dicom_id"], strict=True))


@pytest.mark.parametrize("policy", sorted(ORACLES))
@settings(deadline=None, max_examples=25)
@given(frame=frames())
def test_rule_equals_its_slow_reading(policy: str, frame: pd.DataFrame) -> None:
    assert found(pair(frame, policy)) == ORACLES[policy](frame.to_dict("records"))


@settings(deadline=None, max_examples=15)
@given(frame=frames(), random=st.randoms())
def test_what_holds_for_every_rule(frame: pd.DataFrame, random: Any) -> None:
    """The order of rows is of no account; priors are the patient's own; columns agree."""
    shuffled = frame.sample(frac=1, random_state=random.randrange(1000))
    study = dict(zip(frame["dicom_id"], frame["study_id"], strict=True))
    patient = dict(zip(frame["dicom_id"], frame["split"] + frame["subject_id"], strict=True))
    for policy in POLICIES:
        paired = pair(frame, policy)
        pd.testing.assert_frame_equal(paired, pair(shuffled, policy), check_dtype=False)
        assert not set(frame.columns) - set(paired.columns)
        for row in paired.to_dict("records"):
            prior = row["prior_dicom_id"]
            assert row["prior_study_id"] == (study[prior] if prior else "")
            assert prior != row["dicom_id"]
            assert not prior or patient[prior] == patient[row["dicom_id"]]


@settings(deadline=None, max_examples=15)
@given(frame=frames())
def test_comparison_counts_studies_one_by_one(frame: pd.DataFrame) -> None:
    names = ["libra", "study", "tibix", "longitudinal-mimic"]
    study = dict(zip(frame["dicom_id"], frame["study_id"], strict=True))
    priors = {name: found(pair(frame, name)) for name in names}
    for difference in compare(frame, names):
        first, second = priors[difference.first], priors[difference.second]
        other = [image for image in study if first.get(image) != second.get(image)]
        assert difference.studies == len({study[image] for image in other})
        farther = [
            image
            for image in other
            if (image in first) != (image in second)
            or study.get(first[image]) != study.get(second[image])
        ]
        assert difference.prior_studies == len({study[image] for image in farther})


def frame_of(*rows: tuple[str, str, str, int, float]) -> pd.DataFrame:
    columns = ["study_id", "dicom_id", "view", "date", "time"]
    return pd.DataFrame(rows, columns=columns).assign(split="train", subject_id="10")


def test_a_patient_by_hand() -> None:
    """Two studies on one day, then one with a lateral image, then a portable one."""
    frame = frame_of(
        ("503", "a", "PA", 21000101, 80000.0),
        ("502", "b", "AP", 21000101, 90000.0),
        ("501", "c", "PA", 21000105, 90000.0),
        ("501", "d", "LATERAL", 21000105, 90000.0),
        ("504", "e", "AP", 21000109, 90000.0),
    )
    expected = {
        "libra": {"a": "", "b": "", "c": "b", "d": "b", "e": "d"},
        "study": {"a": "", "b": "a", "c": "b", "d": "b", "e": "c"},
        # By date alone 502 comes before 503, whose row is then the one before.
        "longitudinal-mimic": {"a": "b", "c": "a", "d": "a", "e": "d"},
        "hergen": {"a": "", "b": "a", "c": "b", "e": "c"},
        # 501, 502, 503, 504: the first study by number is the third in time.
        "mlrg": {"c": "", "d": "", "b": "c", "a": "b", "e": "a"},
        "tibix": {"b": "", "e": "b"},
        "coca-cxr": {"a": "", "b": "a", "c": "b", "e": "c"},
        "none": dict.fromkeys("abcde", ""),
    }
    assert {name: found(pair(frame, name)) for name in POLICIES} == expected
    # Study 502 gets a prior from one of them only, 504 another image of the same prior study.
    assert compare(frame, ["libra", "study"]) == [Difference("libra", "study", 2, 1)]


def test_a_missing_time_is_the_end_of_its_day() -> None:
    """Where the published `sort_values` puts it; and milliseconds still tell two studies apart."""
    frame = frame_of(
        ("501", "a", "PA", 21000101, float("nan")),
        ("502", "b", "PA", 21000101, 235959.999),
        ("504", "c", "PA", 21000102, 80556.875),
        ("503", "d", "PA", 21000102, 80556.876),
    )
    assert found(pair(frame, "libra")) == {"b": "", "a": "", "c": "a", "d": "a"}
    for policy in ("study", "coca-cxr", "hergen"):
        assert found(pair(frame, policy)) == {"b": "", "a": "b", "c": "a", "d": "c"}


def test_filtering_before_or_after_changes_the_priors() -> None:
    frame = frame_of(
        ("1", "a", "PA", 21000101, 1.0),
        ("2", "b", "LATERAL", 21000102, 1.0),
        ("3", "c", "PA", 21000103, 1.0),
    )
    before = pair(frame, views="frontal")
    after = pair(frame, views="frontal", filter_when="after")
    assert found(before) == {"a": "", "c": "a"}
    assert found(after) == {"a": "", "c": "b"}
    assert with_paths(after)["prior_image"].tolist() == ["", "files/p10/p10/s2/b.jpg"]
    assert found(pair(frame, exclude=["2"])) == {"a": "", "c": "a"}
    assert found(pair(frame, exclude=["b"], filter_when="after")) == {"a": "", "c": "b"}
    with pytest.raises(InputError, match="Known: after, before"):
        pair(frame, filter_when="during")


def test_history_starts_again_after_five_images() -> None:
    frame = frame_of(*((str(n), f"i{n}", "AP", 21000101 + n, 1.0) for n in range(7)))
    assert list(found(pair(frame, "hergen")).values()) == ["", "i0", "i1", "i2", "i3", "", "i5"]


def test_no_images_at_all() -> None:
    for policy in POLICIES:
        assert with_paths(pair(frame_of(), policy)).empty
    lateral = frame_of(("1", "a", "LATERAL", 21000101, 1.0))
    assert with_paths(pair(lateral, views="frontal")).empty
    assert {one.studies for one in compare(frame_of())} == {0}


def test_a_study_without_a_time_comes_before_midnight_of_the_next_day() -> None:
    """Its day ends with it, so 00:00:00 of the day behind is later, whatever the studies' ids."""
    frame = frame_of(("9", "a", "PA", 21000101, float("nan")), ("1", "b", "PA", 21000102, 0.0))
    assert found(pair(frame, "study")) == {"a": "", "b": "a"}


@pytest.mark.parametrize(
    ("column", "values", "told"),
    [
        ("dicom_id", ["a", "b", "a"], r"row 2 of the frame: an image for the second time \(a\)"),
        ("date", [21000101, 21001301, 21000103], r"row 1 of the frame: no date .*21001301"),
        ("date", [21000101, 21000102, 21000230], "row 2 of the frame: no date"),
        ("date", [21000101, 21000102, float("nan")], "row 2 of the frame: no date"),
        ("time", [1.0, 240000.0, 2.0], "row 1 of the frame: no time HHMMSS"),
        ("time", [1.0, -1.0, 2.0], "row 1 of the frame: no time HHMMSS"),
        ("time", ["1", "noon", " "], r"row 1 of the frame: no time HHMMSS \(noon\)"),
        ("split", ["test", None, "test"], "row 1 of the frame: no split"),
        ("subject_id", ["1", None, "1"], "row 1 of the frame: no subject_id"),
        ("study_id", ["1", "2", float("nan")], "row 2 of the frame: no study_id"),
    ],
)
@pytest.mark.parametrize("policy", ["libra", "mlrg"])
def test_frames_that_have_no_order_are_refused(
    policy: str, column: str, values: list[Any], told: str
) -> None:
    frame = frame_of(*((str(n), f"i{n}", "AP", 21000101 + n, 1.0) for n in range(3)))
    with pytest.raises(InputError, match=told):
        pair(frame.assign(**{column: values}), policy)
    with pytest.raises(InputError, match=told):
        compare(frame.assign(**{column: values}), [policy, "none"])


def test_all_kinds_of_faults_of_a_frame_are_named_together() -> None:
    frame = frame_of(*((str(n), "same", "AP", 99, 1e6) for n in range(2)))
    with pytest.raises(InputError) as told:
        pair(frame)
    for part in ("an image for the second time", "no date", "no time"):
        assert part in str(told.value)
