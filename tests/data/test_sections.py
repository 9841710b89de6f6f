import csv
import tarfile
import zipfile
from pathlib import Path

import pytest

from libra_bench.core.errors import InputError
from libra_bench.data.sections import SECTIONS, is_special, parse, read_reports, section_name

# The collection's empty lines hold a blank; a dollar sign marks it here.
REPORT = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)
 $
 INDICATION:  ___F with cough.
 $
 FINDINGS: $
 $
 The lungs are clear.
 The heart is normal.
 $
 IMPRESSION: $
 $
 Normal.
""".replace("$", "")


def test_published_cells(parity: Path) -> None:
    kit = parity / "mimic-layout"
    with (kit / "expected" / "mimic_cxr_sectioned.csv").open(newline="") as stream:
        expected = {row["study"]: row for row in csv.DictReader(stream)}
    found = {
        study: parse(text)
        for study, text in read_reports(kit / "reports.tar.gz")
        if not is_special(study)
    }
    assert set(found) == set(expected)
    for study, row in expected.items():
        assert {name: found[study].get(name, "") for name in SECTIONS} == {
            name: row[name] for name in SECTIONS
        }


def test_a_report_by_hand() -> None:
    sections = parse(REPORT)
    assert sections["findings"] == "The lungs are clear.\n The heart is normal."
    assert sections["impression"] == "Normal."
    assert sections["indication"] == "___F with cough."
    assert "last_paragraph" not in sections


def test_last_paragraph_only_without_findings_and_impression() -> None:
    text = "\n INDICATION:  Cough.\n \n Lungs clear.\n \n No effusion.\n"
    assert parse(text) == {
        "indication": "Cough.",
        "last_paragraph": "Lungs clear.\n \n No effusion.",
    }


def test_the_last_section_of_a_name_wins_and_an_empty_one_does_not_count() -> None:
    text = "\n FINDINGS:  One.\n FINDINGS:  Two.\n FINDINGS:  \n"
    assert parse(text)["findings"] == "Two."


@pytest.mark.parametrize(
    ("header", "section"),
    [
        ("CLINICAL HISTORY", "history"),
        ("IMPRESION", "impression"),
        ("FINDINGS AND IMPRESSION", "impression"),
        ("PORTABLE AP CHEST RADIOGRAPH", "findings"),
        ("NOTE", "note"),
    ],
)
def test_headers(header: str, section: str) -> None:
    assert section_name(header) == section


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


def test_latin_1_and_broken_archives_are_named(tmp_path: Path) -> None:
    (tmp_path / "s1.txt").write_bytes("Café".encode("latin-1"))
    with pytest.raises(InputError, match=r"s1\.txt: not UTF-8 text \(byte 3\)"):
        list(read_reports(tmp_path))
    (tmp_path / "x.tar.gz").write_bytes(b"nothing")
    with pytest.raises(InputError, match="neither a folder nor an archive"):
        list(read_reports(tmp_path / "x.tar.gz"))
