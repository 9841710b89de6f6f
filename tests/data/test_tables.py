"""PhysioNet's tables with everything that may be wrong with them: file, row, all together."""

import datetime
import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from libra_bench.core.errors import InputError
from libra_bench.data.tables import read_ids, read_images, read_metadata, read_splits

METADATA = "dicom_id,subject_id,study_id,ViewPosition,StudyDate,StudyTime\n"
SPLIT = "dicom_id,study_id,subject_id,split\n"


def table(path: Path, text: str) -> Path:
    path.write_bytes(gzip.compress(text.encode()))
    return path


def test_faults_of_both_tables_come_together(tmp_path: Path) -> None:
    metadata = table(
        tmp_path / "metadata.csv.gz",
        METADATA
        + "a,10,1,PA,21000101,080556.875\n"  # text with a leading zero is a time all the same
        + "a,10,1,PA,21000101,80556.875\n"  # an image twice
        + "b,10,2,PA,20210113,1.0\n"  # a date there is
        + "c,10,2,PA,21001301,1.0\n"  # day and month the wrong way round
        + "d,11,2,PA,01312100,1.0\n"  # month first
        + "e,11,3,PA,21000230,noon\n",  # a day there is not, a time that is none
    )
    splits = table(
        tmp_path / "split.csv.gz",
        SPLIT + "a,1,10,train\nb,2,10,test\nc,2,10,train\ne,3,11,tset\n",
    )
    with pytest.raises(InputError) as caught:
        read_images(metadata, splits)
    message = str(caught.value)
    for fault in (
        "metadata.csv.gz: ",
        "row 3: image twice ('a'), first in row 2",
        "row 5: StudyDate is no YYYYMMDD ('21001301')",
        "row 6: StudyDate is no YYYYMMDD ('01312100')",
        "row 7: StudyDate is no YYYYMMDD ('21000230')",
        "row 7: StudyTime is no HHMMSS ('noon')",
        "row 6: study of two patients ('2')",
        "split.csv.gz: ",
        "row 3: study in two splits ('2')",
        "row 2: patient in two splits ('10')",
        "row 5: unknown split ('tset')",
    ):
        assert fault in message
    assert "row 2: Study" not in message and "row 4: StudyDate" not in message


def test_a_cut_off_table_says_after_which_row(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = "".join(f"{one:x},1,2,train\n" for one in rng.integers(1 << 60, 1 << 62, 5000))
    path = table(tmp_path / "split.csv.gz", SPLIT + rows)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        InputError, match=r"split\.csv\.gz: cannot be read: .* after row (\d+)"
    ) as caught:
        read_splits(path)
    after = int(str(caught.value).rsplit(" ", 1)[1])
    assert 2000 < after < 3000
    path.write_bytes(b"no gzip at all")
    with pytest.raises(InputError, match="cannot be read"):
        read_splits(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_splits(tmp_path / "absent.csv.gz")


def test_a_wrong_delimiter_shows_what_was_read(tmp_path: Path) -> None:
    path = table(tmp_path / "metadata.csv.gz", METADATA.replace(",", ";") + "a;1;2;PA;21000101;1\n")
    with pytest.raises(InputError, match=r"row 1: no column dicom_id.*it has dicom_id;subject_id"):
        read_metadata(path)

    with pytest.raises(InputError, match="perhaps separated by ';'"):
        read_metadata(path)


def test_rows_of_another_length_are_named(tmp_path: Path) -> None:
    """A table that was cut off in the middle of a row, unpacked, and one edited by hand."""
    path = tmp_path / "metadata.csv"
    path.write_text(
        METADATA + "a,10,1,PA,21000101,1\nb,10,1,PA,21000101\nc,10,1,PA,21000101,1,1\nd,1"
    )
    with pytest.raises(InputError) as caught:
        read_metadata(path)
    assert [line for line in str(caught.value).splitlines() if line] == [
        f"{path}: ",
        "  row 3: 5 fields, not 6 ('b,10,1,PA,21000101')",
        "  row 4: 7 fields, not 6 ('c,10,1,PA,21000101,1,1')",
        "  row 5: 2 fields, not 6 ('d,1')",
    ]
    path.write_text(METADATA + 'a,10,1,"PA, erect",21000101,1\n\n')
    assert read_metadata(path)["view"].tolist() == ["PA, erect"]


def test_tables_of_nothing_and_of_other_text(tmp_path: Path) -> None:
    for text, message in (
        ("", "row 1 is empty"),
        (METADATA, "no rows below"),
    ):
        with pytest.raises(InputError, match=message):
            read_metadata(table(tmp_path / "m.csv.gz", text))
    latin = (METADATA + "a,10,1,PA,21000101,1\nb,10,1,caf\xe9,21000101,1\n").encode("latin-1")
    (tmp_path / "m.csv.gz").write_bytes(gzip.compress(latin))
    with pytest.raises(InputError, match=r"row 3: not UTF-8 text, byte 10"):
        read_metadata(tmp_path / "m.csv.gz")
    # A packed table under a plain name is a table all the same.
    (tmp_path / "m.csv").write_bytes(gzip.compress((METADATA + "a,10,1,,21000101,\n").encode()))
    assert len(read_metadata(tmp_path / "m.csv")) == 1


def test_tables_that_do_not_belong_together(tmp_path: Path) -> None:
    metadata = table(tmp_path / "m.csv.gz", METADATA + "a,10,1,PA,21000101,1\n")
    other = table(tmp_path / "s.csv.gz", SPLIT + "x,1,10,train\n")
    with pytest.raises(InputError, match=r"m\.csv\.gz and .*s\.csv\.gz: no image stands in both"):
        read_images(metadata, other)
    other = table(tmp_path / "s.csv.gz", SPLIT + "b,1,10,train\na,2,10,train\n")
    with pytest.raises(
        InputError, match=r"another study_id in row 2 of the metadata than in row 3"
    ):
        read_images(metadata, other)


def test_every_day_of_the_calendar_and_no_other(tmp_path: Path) -> None:
    first, days = datetime.date(2099, 12, 1), 2000
    dates = [first + datetime.timedelta(one) for one in range(days)]
    rows = "".join(f"i{n},1,2,PA,{one:%Y%m%d},1\n" for n, one in enumerate(dates))
    assert len(read_metadata(table(tmp_path / "good.csv.gz", METADATA + rows))) == days
    wrong = ["21000229", "21010431", "21040230", "21000100", "21000001", "0", "", "2100-1-1"]
    rows = "".join(f"i{n},1,2,PA,{one},1\n" for n, one in enumerate(wrong))
    with pytest.raises(InputError) as caught:
        read_metadata(table(tmp_path / "bad.csv.gz", METADATA + rows))
    assert str(caught.value).count("StudyDate is no YYYYMMDD") == len(wrong)


def test_images_in_one_table_only_are_told_of(tmp_path: Path) -> None:
    metadata = table(tmp_path / "m.csv.gz", METADATA + "a,10,1,PA,21000101,1\nb,10,1,,21000101,\n")
    splits = table(tmp_path / "s.csv.gz", SPLIT + "a,1,10,train\nc,1,10,train\n")
    images, lonely = read_images(metadata, splits)
    assert (images["dicom_id"].tolist(), lonely) == (["a"], ["b", "c"])


def test_lists_of_ids(tmp_path: Path) -> None:
    path = tmp_path / "ids.csv"
    pd.DataFrame({"study_id": ["s50", "51", ""], "dicom_id": ["", "sa-b", "c"]}).to_csv(path)
    assert read_ids(path) == {"50", "51", "sa-b", "c"}
    path.write_text("subject\n10\n")
    with pytest.raises(InputError, match="neither study_id nor dicom_id"):
        read_ids(path)
