"""Reports as they lie in folders and archives, and the table made of them."""

import csv
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from libra_bench.core.errors import InputError
from libra_bench.data import reports
from libra_bench.data.parallel import batches, in_order
from libra_bench.data.reports import read_reports, write_section_table

REPORT = "                 FINAL REPORT\n FINDINGS:  Clear.\n \n IMPRESSION:  Normal.\n"
SPECIAL = "s50913680"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def kit(parity: Path, tmp_path: Path) -> dict[str, Path]:
    """The kit's reports as a folder, a zip and the tar they come in."""
    packed = parity / "mimic-layout" / "reports.tar.gz"
    with tarfile.open(packed) as archive:
        archive.extractall(tmp_path / "folder", filter="data")
    with zipfile.ZipFile(tmp_path / "reports.zip", "w") as archive:
        for file in (tmp_path / "folder").rglob("*.txt"):
            archive.write(file, file.relative_to(tmp_path / "folder"))
    return {"folder": tmp_path / "folder", "zip": tmp_path / "reports.zip", "tar": packed}


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_published_table(
    kit: dict[str, Path],
    parity: Path,
    tmp_path: Path,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reports, "BATCH", 100)
    monkeypatch.setattr(reports, "ALONE", 2)
    output = tmp_path / "table.csv"
    counts = write_section_table(kit[kind], output, workers=2)
    expected = rows(parity / "mimic-layout" / "expected" / "mimic_cxr_sectioned.csv")
    found = rows(output)
    assert list(found[0]) == list(expected[0])
    key = lambda row: row["study"]  # noqa: E731
    assert sorted(found, key=key) == sorted(expected, key=key)
    assert counts.written == len(expected)
    alone = tmp_path / "alone.csv"
    write_section_table(kit[kind], alone, workers=1)
    assert alone.read_bytes() == output.read_bytes()


def test_special_studies_can_be_kept(tmp_path: Path) -> None:
    for study in ("s50000001", SPECIAL):
        (tmp_path / f"{study}.txt").write_text(REPORT)
    output = tmp_path / "table.csv"
    assert write_section_table(tmp_path, output) == (1, 1)
    assert [row["study"] for row in rows(output)] == ["s50000001"]
    assert write_section_table(tmp_path, output, keep_special=True) == (2, 0)
    first, special = rows(output)
    assert (first["study"], special["study"]) == ("s50000001", SPECIAL)
    assert (special["findings"], special["last_paragraph"]) == ("Clear.", "")


def test_folder_zip_and_tar_give_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "files" / "p10" / "p10000032"
    folder.mkdir(parents=True)
    (folder / "s50000001.txt").write_text(REPORT)
    (folder / "s50000002.txt").write_bytes(REPORT.replace("\n", "\r\n").encode())
    (folder / "notes.txt").write_text("not a report")
    with zipfile.ZipFile(tmp_path / "r.zip", "w") as packed:
        for file in folder.iterdir():
            packed.write(file, file.relative_to(tmp_path))
    with tarfile.open(tmp_path / "r.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "files", "files")
    results = [dict(read_reports(tmp_path / name)) for name in ("files", "r.zip", "r.tar.gz")]
    assert (
        results[0] == results[1] == results[2] == dict.fromkeys(("s50000001", "s50000002"), REPORT)
    )


def test_every_report_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    for number in range(4):
        text = f"FINDINGS:\n Café {number}"
        coded = text.encode("latin-1" if number in (1, 3) else "utf-8")
        (tmp_path / f"s{number}.txt").write_bytes(coded)
    output = tmp_path / "table.csv"
    with pytest.raises(InputError) as caught:
        write_section_table(tmp_path, output)
    assert "s1.txt, line 2: not UTF-8 text (byte 14)" in str(caught.value)
    assert "s3.txt, line 2: not UTF-8" in str(caught.value)
    assert "s2.txt" not in str(caught.value)
    assert not list(tmp_path.glob("*table*")), "neither a table nor half of one"


def test_broken_archives_and_empty_folders(tmp_path: Path) -> None:
    (tmp_path / "x.tar.gz").write_bytes(b"nothing")
    with pytest.raises(InputError, match="neither a folder nor an archive"):
        list(read_reports(tmp_path / "x.tar.gz"))
    (tmp_path / "s1.txt").write_text(REPORT * 500)
    with tarfile.open(tmp_path / "cut.tar", "w") as archive:
        archive.add(tmp_path / "s1.txt", "s1.txt")
    (tmp_path / "cut.tar").write_bytes((tmp_path / "cut.tar").read_bytes()[:20_000])
    with pytest.raises(InputError, match=r"cut\.tar: neither a folder nor an archive"):
        write_section_table(tmp_path / "cut.tar", tmp_path / "table.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no reports"):
        write_section_table(tmp_path / "empty", tmp_path / "table.csv")


def test_work_is_bounded_and_in_order() -> None:
    begun: list[int] = []

    def items() -> object:
        for number in range(20):
            begun.append(number)
            yield number

    with ThreadPoolExecutor(3) as pool:
        results = in_order(pool, lambda number: number * number, items(), ahead=4)
        assert next(results) == 0
        assert len(begun) <= 5, "what is not asked for is not begun"
        assert list(results) == [number * number for number in range(1, 20)]
    assert list(batches(range(5), 2)) == [[0, 1], [2, 3], [4]]
