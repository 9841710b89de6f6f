"""Prior images against the published rows, and against a row-by-row reading of the rule."""

import csv
import gzip
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libra_bench.core.errors import InputError
from libra_bench.data.pairing import Difference, compare, pair, with_paths, write_csv
from libra_bench.data.tables import join, read_metadata, read_splits

METADATA = "mimic-cxr-2.0.0-metadata.csv.gz"
SPLIT = "mimic-cxr-2.0.0-split.csv.gz"


def row_by_row(frame: pd.DataFrame) -> dict[str, str]:
    """Libra's rule, an image at a time: the oracle."""
    priors: dict[str, str] = {}
    keys = ["split", "subject_id", "date", "time", "dicom_id"]
    rows = frame.sort_values(keys).to_dict("records")
    for place, row in enumerate(rows):
        own = [one for one in rows[:place] if same(one, row, "split", "subject_id")]
        of_day = [one for one in own if same(one, row, "date")]
        if of_day:
            priors[row["dicom_id"]] = priors[of_day[0]["dicom_id"]]
        else:
            priors[row["dicom_id"]] = own[-1]["dicom_id"] if own else ""
    return priors


def same(one: dict, other: dict, *names: str) -> bool:
    return all(one[name] == other[name] for name in names)


images = st.lists(
    st.tuples(
        st.sampled_from(["10", "11"]),
        st.integers(0, 3),
        st.sampled_from([0.0, 80556.875, 120000.0, float("nan")]),
        st.sampled_from(["PA", "AP", "LATERAL", ""]),
        st.sampled_from(["train", "test"]),
    ),
    max_size=14,
)


@settings(deadline=None, max_examples=60)
@given(images, st.randoms())
def test_vectorised_equals_row_by_row(rows: list, random: object) -> None:
    """Ties, same-day studies, missing times, a single image, several splits, shuffled rows."""
    frame = pd.DataFrame(
        [
            {
                "split": split,
                "subject_id": subject,
                "study_id": f"{subject}{day}{clock}",
                "dicom_id": f"i{number}",
                "view": view,
                "date": 21000101 + day,
                "time": clock,
            }
            for number, (subject, day, clock, view, split) in enumerate(rows)
        ],
        columns=["split", "subject_id", "study_id", "dicom_id", "view", "date", "time"],
    )
    shuffled = frame.sample(frac=1, random_state=random.randrange(1000))  # type: ignore[attr-defined]
    for views in ("all", "frontal"):
        chosen = frame if views == "all" else frame[frame["view"].isin(["PA", "AP"])]
        found = pair(shuffled, "libra", views=views)
        assert dict(zip(found["dicom_id"], found["prior_dicom_id"], strict=True)) == row_by_row(
            chosen
        )


@pytest.mark.parametrize("views", ["all", "frontal"])
def test_published_rows(parity: Path, views: str) -> None:
    kit = parity / "mimic-layout"
    images, lonely = join(read_metadata(kit / METADATA), read_splits(kit / SPLIT))
    assert not lonely
    found = with_paths(pair(images, "libra", views=views)).set_index("dicom_id")
    table = kit / "expected" / "libra_priors.csv"
    packed = table.with_name(f"{table.name}.gz")
    with gzip.open(packed, "rt") if packed.is_file() else table.open(newline="") as stream:
        expected = [row for row in csv.DictReader(stream) if row["views"] == views]
    assert len(found) == len(expected)
    for row in expected:
        ours = found.loc[row["dicom_id"]]
        for name in ("split", "subject_id", "study_id", "image", "prior_image"):
            assert ours[name] == row[name]


def test_none_has_no_prior_and_wrong_names_are_refused() -> None:
    frame = pd.DataFrame(
        {
            "split": "test",
            "subject_id": "1",
            "study_id": ["a", "b"],
            "dicom_id": ["x", "y"],
            "view": "PA",
            "date": [21000101, 21000102],
            "time": 0.0,
        }
    )
    assert pair(frame, "none")["prior_dicom_id"].tolist() == ["", ""]
    assert pair(frame, "libra")["prior_dicom_id"].tolist() == ["", "x"]
    with pytest.raises(InputError, match="Did you mean 'libra'"):
        pair(frame, "libar")
    with pytest.raises(InputError, match="Known: all, frontal"):
        pair(frame, views="lateral")


HEADER = "dicom_id,subject_id,study_id,ViewPosition,StudyDate,StudyTime\n"


def table(path: Path, text: str) -> Path:
    path.write_bytes(gzip.compress(text.encode()))
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dicom_id,subject_id\na,b\n", "no column study_id, ViewPosition"),
        (HEADER.replace(",", ";"), "no column dicom_id"),
        (HEADER + "a,1,2,PA,21000101,1.0\na,1,2,PA,21000101,1.0\n", r"row 3: image twice \('a'\)"),
        (HEADER + "a,1,2,PA,2100-01-01,1.0\n", "row 2: StudyDate is no YYYYMMDD"),
        (HEADER + "a,1,2,PA,21001345,1.0\n", "row 2: StudyDate is no YYYYMMDD"),
        (HEADER + "a,1,2,PA,21000101,noon\n", "row 2: StudyTime is no HHMMSS"),
        (HEADER + "a,1,2,PA,21000101,250000\n", "row 2: StudyTime is no HHMMSS"),
        (HEADER + "a,1,,PA,21000101,1.0\n", "row 2: no study_id"),
        ("", "not a CSV table"),
    ],
)
def test_bad_metadata_names_file_and_row(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_metadata(table(tmp_path / METADATA, text))
    assert METADATA in str(caught.value)


def test_times_as_numbers_and_as_padded_text(tmp_path: Path) -> None:
    text = HEADER + "a,1,2,PA,21000101,80556.875\nb,1,3,,21000101,080556.875\nc,1,4,PA,21000101,\n"
    frame = read_metadata(table(tmp_path / METADATA, text))
    assert frame["time"].tolist()[:2] == [80556.875, 80556.875]
    assert frame["time"].isna().tolist() == [False, False, True]
    assert frame["view"].tolist() == ["PA", "", "PA"]


def test_tables_that_disagree(tmp_path: Path) -> None:
    rows = "a,1,2,PA,21000101,1.0\nb,1,3,PA,21000102,1.0\nc,1,4,PA,21000103,1.0\n"
    metadata = read_metadata(table(tmp_path / METADATA, HEADER + rows))
    header = "dicom_id,study_id,subject_id,split\n"
    splits = read_splits(table(tmp_path / SPLIT, header + "a,2,1,train\nb,3,1,train\nd,9,8,test\n"))
    images, lonely = join(metadata, splits)
    assert images["dicom_id"].tolist() == ["a", "b"]
    assert lonely == ["c", "d"]
    splits = read_splits(table(tmp_path / SPLIT, header + "a,2,1,train\nb,7,1,train\n"))
    with pytest.raises(
        InputError, match=r"image 'b': another study_id in row 3 of the meta.* row 3"
    ):
        join(metadata, splits)


def test_truncated_gzip_and_torn_patients(tmp_path: Path) -> None:
    path = table(tmp_path / SPLIT, "dicom_id,study_id,subject_id,split\n" + "a,1,2,train\n" * 500)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(InputError, match="cannot be read"):
        read_splits(path)
    text = "dicom_id,study_id,subject_id,split\na,1,2,train\nb,3,2,test\nc,4,5,tset\n"
    with pytest.raises(InputError) as caught:
        read_splits(table(tmp_path / SPLIT, text))
    assert "row 2: patient in two splits ('2')" in str(caught.value)
    assert "row 4: unknown split ('tset')" in str(caught.value)


def test_a_frame_as_pandas_reads_physionets_tables() -> None:
    """Ids as numbers, blanks as NaN, PhysioNet's names, no split: the notebook's way in."""
    raw = pd.DataFrame(
        {
            "dicom_id": ["a", "b"],
            "subject_id": [10, 10],
            "study_id": [502, 501],
            "ViewPosition": ["PA", float("nan")],
            "StudyDate": [21000101, 21000202],
            "StudyTime": ["080556.875", ""],
        }
    )
    paired = with_paths(pair(raw))
    assert paired["prior_study_id"].tolist() == ["", "502"]
    assert paired["prior_image"].tolist() == ["", "files/p10/p10/s502/a.jpg"]
    assert paired["view"].tolist() == ["PA", ""]
    assert compare(raw, ["libra", "none"]) == [Difference("libra", "none", 1, 1)]
    with pytest.raises(InputError, match="no column study_id, view"):
        pair(raw.drop(columns=["study_id", "ViewPosition"]))
    with pytest.raises(InputError, match=r"row 1 of the frame: no date YYYYMMDD \(soon\)"):
        pair(raw.assign(StudyDate=["21000101", "soon"]))


def test_a_table_is_quoted_only_where_it_must_be(tmp_path: Path) -> None:
    frame = pd.DataFrame({"study_id": ["1", "2"], "prior_image": ["", "a/b.jpg"]})
    write_csv(frame, tmp_path / "plain.csv")
    assert (tmp_path / "plain.csv").read_text() == "study_id,prior_image\n1,\n2,a/b.jpg\n"
    write_csv(frame.assign(study_id='odd, "id"'), tmp_path / "odd.csv")
    with (tmp_path / "odd.csv").open(newline="") as stream:
        assert [*csv.reader(stream)][1:] == [['odd, "id"', ""], ['odd, "id"', "a/b.jpg"]]
