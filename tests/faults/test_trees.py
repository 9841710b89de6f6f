"""Promise 4: folders and archives of reports hold files, and nothing that they point at is read."""

import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from libra_bench.core.errors import InputError
from libra_bench.data import trees
from libra_bench.data.corpora import load, synthetic
from libra_bench.data.mimic import report_reader
from libra_bench.data.reports import read_reports

REPORT = "\n FINDINGS: The lungs are clear.\n"


def tree(folder: Path) -> Path:
    (folder / "files" / "p10").mkdir(parents=True)
    (folder / "files" / "p10" / "s1.txt").write_text(REPORT)
    (folder / "secret").write_text("\n FINDINGS: not yours\n")
    return folder


@pytest.mark.parametrize("kind", ["link out", "pipe", "socket", "dangling", "large"])
def test_a_folder_s_report_is_a_file_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    root = tree(tmp_path) / "files"
    odd = root / "p10" / "s2.txt"
    if kind == "link out":
        odd.symlink_to(tmp_path / "secret")
    elif kind == "dangling":
        odd.symlink_to(root / "nothing")
    elif kind == "pipe":
        os.mkfifo(odd)
    elif kind == "socket":
        os.mknod(odd, stat.S_IFSOCK)
    else:
        monkeypatch.setattr(trees, "LARGEST", 1000)
        odd.write_text("x" * 1001)
    with pytest.raises(InputError, match=r"s2\.txt: "):
        list(read_reports(root))
    odd.unlink()
    assert list(read_reports(root)) == [("s1", REPORT)]


def test_links_inside_are_followed_and_have_an_end(tmp_path: Path) -> None:
    """`files` on another disk is common; a folder that holds itself is not endless."""
    disk = tree(tmp_path / "disk") / "files"
    root = tmp_path / "root"
    root.mkdir()
    (root / "files").symlink_to(disk)
    (disk / "p10" / "s3.txt").symlink_to(disk / "p10" / "s1.txt")
    (disk / "p10" / "again").symlink_to(disk)
    assert [name for name, _ in read_reports(root)] == ["s1", "s3"]
    assert report_reader(root)("files/p10/s1.txt") == REPORT.encode()
    assert report_reader(root)("files/p10/s3.txt") == REPORT.encode()
    (disk / "p10" / "s4.txt").symlink_to(tmp_path / "disk" / "secret")
    with pytest.raises(InputError, match="leads out"):
        report_reader(root)("files/p10/s4.txt")
    # A folder that leads out is no part of the collection.
    (disk / "p11").symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "s9.txt").write_text(REPORT)
    (disk / "p10" / "s4.txt").unlink()
    assert [name for name, _ in read_reports(root)] == ["s1", "s3"]


def test_a_collection_whose_files_are_a_link(tmp_path: Path) -> None:
    root = synthetic.built_in()
    whole = load(f"mimic-cxr:{root}", split="test")
    for path in root.iterdir():
        (tmp_path / path.name).symlink_to(path)
    assert load(f"mimic-cxr:{tmp_path}", split="test").examples == whole.examples


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]
)
def test_an_archive_s_report_is_a_file(tmp_path: Path, kind: bytes) -> None:
    place = tmp_path / "reports.tar.gz"
    with tarfile.open(place, "w:gz") as archive:
        for name in ("s1.txt", "s2.txt"):
            member = tarfile.TarInfo(name)
            if name == "s2.txt":
                member.type, member.linkname = kind, "s1.txt"
                archive.addfile(member)
                continue
            member.size = len(REPORT)
            archive.addfile(member, io.BytesIO(REPORT.encode()))
    with pytest.raises(InputError, match=r"s2\.txt: a link, a pipe or a device"):
        list(read_reports(place))


def test_a_zip_s_report_is_a_file_of_a_report_s_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "reports.zip"
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("files/s1.txt", REPORT)
        link = zipfile.ZipInfo("files/s2.txt")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("files/s3.txt", "x" * 100_000)
    read = report_reader(place)
    assert read("files/s1.txt") == REPORT.encode() and read("files/s9.txt") is None
    with pytest.raises(InputError, match=r"s2\.txt: a link"):
        read("files/s2.txt")
    monkeypatch.setattr(trees, "LARGEST", 10_000)
    with pytest.raises(InputError, match=r"s3\.txt: more than 10,000 bytes"):
        read("files/s3.txt")
    with pytest.raises(InputError, match=r"s2\.txt: a link"):
        list(read_reports(place))


def test_an_open_i_archive_too(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tgz", "w:gz") as archive:
        member = tarfile.TarInfo("ecgen/1.xml")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(InputError, match=r"1\.xml: a link"):
        load(f"openi:{tmp_path / 'x.tgz'}")
