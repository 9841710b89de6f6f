"""Files for training and evaluation: complete, the same after an interruption, faults listed."""

import csv
import gzip
import hashlib
import json
import shutil
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from libra_bench.core.errors import InputError, MissingResourceError
from libra_bench.core.files import read_records, sha256_of
from libra_bench.core.records import Example
from libra_bench.data import checksums
from libra_bench.data.corpora import load, synthetic
from libra_bench.data.mimic import Choice
from libra_bench.data.prepare import NO_IMAGES, prepare

SPLIT = "mimic-cxr-2.0.0-split.csv.gz"
FILES = ["train.json", "validate.json", "validate.jsonl", "test.jsonl", "dropped.csv"]


@pytest.fixture
def root() -> Path:
    return synthetic.built_in()


@pytest.fixture
def own(root: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(root, tmp_path / "own"))


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


def dropped(folder: Path) -> list[dict[str, str]]:
    with (folder / "dropped.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def examples(folder: Path) -> list[Example]:
    return [
        one
        for name in ("validate.jsonl", "test.jsonl")
        for one in read_records(folder / name, Example)
    ]


def test_every_study_is_written_or_listed(root: Path, tmp_path: Path) -> None:
    manifest = prepare(root, tmp_path / "out", Choice())
    train = json.loads((tmp_path / "out" / "train.json").read_text())
    written = {one.study_id for one in examples(tmp_path / "out")}
    written |= {Path(one["image"][0]).parent.name.removeprefix("s") for one in train}
    listed = {row["study_id"] for row in dropped(tmp_path / "out")}
    everything = set(pd.read_csv(root / SPLIT, dtype=str)["study_id"])
    assert written | listed == everything
    assert not written & listed
    assert sum(manifest["dropped"].values()) == len(listed)
    assert manifest["counts"]["train"]["examples"] == len(train)
    assert not (tmp_path / "out" / ".parts").exists()
    kinds = {Path(name).suffix for one in train for name in one["image"]}
    assert kinds == {".jpg", ".dcm"}, "images as they are there"


def test_forms_of_training_and_evaluation(root: Path, tmp_path: Path) -> None:
    prepare(root, tmp_path / "out", Choice())
    cohort = load(f"mimic-cxr:{root}", split="test")
    assert read_records(tmp_path / "out" / "test.jsonl", Example) == cohort.examples
    training = json.loads((tmp_path / "out" / "validate.json").read_text())
    evaluation = read_records(tmp_path / "out" / "validate.jsonl", Example)
    for ours, libras in zip(evaluation, training, strict=True):
        assert libras == {
            "id": ours.question_id,
            "image": ours.image,
            "conversations": [
                {"from": "human", "value": "<image>\n" + ours.text},
                {"from": "gpt", "value": ours.reference},
            ],
        }
    assert any(one.has_prior for one in evaluation)


def test_options_choose_other_examples(root: Path, tmp_path: Path) -> None:
    plain = prepare(root, tmp_path / "plain", Choice())
    tibix = prepare(root, tmp_path / "tibix", Choice(policy="tibix", section="impression"))
    assert tibix["options"]["policy"] == "tibix" and tibix["rule"]["certainty"] == "M"
    assert {one.view for one in examples(tmp_path / "tibix")} == {"AP"}
    assert any(row["reason"].startswith("not used by tibix") for row in dropped(tmp_path / "tibix"))
    assert plain["counts"] != tibix["counts"]
    named = frozenset(one.study_id or "" for one in examples(tmp_path / "plain")[:3])
    prepare(root, tmp_path / "fewer", Choice(exclude=named))
    rows = [row for row in dropped(tmp_path / "fewer") if row["reason"] == "named to be left out"]
    assert {row["study_id"] for row in rows} == named


def test_an_interrupted_run_ends_with_the_same_files(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("libra_bench.data.prepare.PART_PATIENTS", 7)
    prepare(root, tmp_path / "whole", Choice())

    def stop(done: int, total: int) -> None:
        if done > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(root, tmp_path / "torn", Choice(), on_images=stop)
    parts = {path: path.stat().st_mtime_ns for path in (tmp_path / "torn" / ".parts").iterdir()}
    assert len(parts) > 3 and not (tmp_path / "torn" / "train.json").exists()
    with pytest.raises(InputError, match="--resume goes on"):
        prepare(root, tmp_path / "torn", Choice())
    with pytest.raises(InputError, match="made with another options"):
        prepare(root, tmp_path / "torn", Choice(views="all"), resume=True)

    def look(done: int, total: int) -> None:
        assert all(path.stat().st_mtime_ns == time for path, time in parts.items()), "made twice"

    prepare(root, tmp_path / "torn", Choice(), resume=True, on_images=look)
    assert contents(tmp_path / "torn") == contents(tmp_path / "whole")
    times = {name: (tmp_path / "torn" / name).stat().st_mtime_ns for name in FILES}
    again = prepare(root, tmp_path / "torn", Choice(), resume=True, on_images=look)
    assert again == json.loads((tmp_path / "torn" / "manifest.json").read_text())
    assert times == {name: (tmp_path / "torn" / name).stat().st_mtime_ns for name in FILES}


def test_what_cannot_be_used_is_listed_with_its_file(own: Path, tmp_path: Path) -> None:
    cohort = load(f"mimic-cxr:{own}", split="test")
    paired = next(one for one in cohort.examples if one.has_prior)
    others = [one for one in cohort.examples if paired.subject_id != one.subject_id]
    no_image, no_report, latin = others[0], others[1], others[2]
    (own / paired.image[1]).unlink()
    (own / no_image.image[0]).unlink()
    (own / no_report.image[0]).parent.with_suffix(".txt").unlink()
    (own / latin.image[0]).parent.with_suffix(".txt").write_bytes("\n FINDINGS: café".encode("l1"))
    manifest = prepare(own, tmp_path / "out", Choice())
    reasons = {
        (row["study_id"], row["dicom_id"]): row["reason"] for row in dropped(tmp_path / "out")
    }
    assert reasons[paired.study_id, paired.question_id] == (
        f"the prior image is missing: {paired.image[1]}"
    )
    assert reasons[no_image.study_id, no_image.question_id] == (
        f"its image is missing: {no_image.image[0]}"
    )
    assert f"s{no_report.study_id}.txt" in reasons[no_report.study_id, ""]
    assert "line 2: not UTF-8 text (byte 15)" in reasons[latin.study_id, ""]
    for kind in ("its image is missing", "the prior image is missing", "no report"):
        assert manifest["dropped"][kind] >= 1
    # The same are listed where the collection is read for a run.
    notes = load(f"mimic-cxr:{own}", split="test").notes
    assert any(note.endswith("left out: its image is missing") for note in notes)
    trusting = prepare(own, tmp_path / "trusting", Choice(trust_images=True))
    assert "its image is missing" not in trusting["dropped"]


def test_tables_and_reports_without_any_image(own: Path, tmp_path: Path) -> None:
    """Each image would be told of as missing; they are taken as named, and the manifest says so."""
    trusted = prepare(own, tmp_path / "trusted", Choice(trust_images=True))
    assert trusted["images"] == "taken as the tables name them"
    for file in (*own.rglob("*.jpg"), *own.rglob("*.dcm")):
        file.unlink()
    manifest = prepare(own, tmp_path / "out", Choice())
    assert manifest["images"] == NO_IMAGES
    assert contents(tmp_path / "out") == contents(tmp_path / "trusted")
    # An image that comes while the work is stopped makes it other work.
    image = json.loads((tmp_path / "out" / "train.json").read_text())[0]["image"][0]
    (own / image).write_bytes(b"an image")
    with pytest.raises(InputError, match="made with another images"):
        prepare(own, tmp_path / "out", Choice(), resume=True)
    assert prepare(own, tmp_path / "looked", Choice())["counts"]["train"]["examples"] == 1


def test_tables_that_were_unpacked_in_place(own: Path, tmp_path: Path) -> None:
    packed = prepare(own, tmp_path / "packed", Choice())
    for file in own.glob("*.csv.gz"):
        # As some programs write it, with a mark of UTF-8 at the start.
        file.with_suffix("").write_bytes(b"\xef\xbb\xbf" + gzip.decompress(file.read_bytes()))
        file.unlink()
    plain = prepare(own, tmp_path / "plain", Choice())
    assert contents(tmp_path / "plain") == contents(tmp_path / "packed")
    assert plain["counts"] == packed["counts"]
    assert "mimic-cxr-2.0.0-split.csv" in plain["sha256"]


def test_reports_elsewhere_and_packed(own: Path, tmp_path: Path) -> None:
    prepare(own, tmp_path / "before", Choice())
    with zipfile.ZipFile(tmp_path / "mimic-cxr-reports.zip", "w") as packed:
        for file in own.rglob("s*.txt"):
            packed.write(file, file.relative_to(own))
            file.unlink()
    prepare(own, tmp_path / "after", Choice(), reports=tmp_path / "mimic-cxr-reports.zip")
    assert contents(tmp_path / "after") == contents(tmp_path / "before")
    with pytest.raises(InputError, match="neither a folder"):
        prepare(own, tmp_path / "none", Choice(), reports=tmp_path / "absent.zip")


def test_checksums(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingResourceError, match=r"SHA256SUMS\.txt"):
        checksums.check(own)
    files = [file for file in sorted(own.rglob("*")) if file.is_file()][:40]
    lines = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(own)}\n"
        for file in files
    ]
    lines.append(f"{'0' * 64}  files/p19/absent.jpg\n")
    (own / "SHA256SUMS.txt").write_text("".join(lines))
    log = tmp_path / "log"
    assert checksums.check(own, log) == (40, 1)
    # What the log knows is not read again, as long as log and file stay as they were.
    read: list[Path] = []
    known = log.read_text().splitlines()
    log.write_bytes(b"\xff cut" + "\n".join(known[1:]).encode())
    assert checksums.check(own, log) == (40, 1), "a damaged log is no log"
    log.write_text("\n".join([f"x{known[0]}", *known[1:]]))

    def counted(path: Path) -> str:
        read.append(path)
        return sha256_of(path)

    monkeypatch.setattr(checksums, "sha256_of", counted)
    assert checksums.check(own, log) == (40, 1)
    assert len(read) == 1
    assert checksums.check(own, tmp_path) == (40, 1), "a log that cannot be written is done without"
    files[0].write_bytes(b"changed")
    with pytest.raises(InputError, match="row 1: another checksum"):
        checksums.check(own, log)
    files[1].write_bytes(b"changed as well")
    (own / "SHA256SUMS.txt").write_text("".join([*lines, "nonsense\n", "a" * 64 + "  ../x\n"]))
    with pytest.raises(InputError) as caught:
        checksums.check(own)
    message = str(caught.value)
    assert all(f"row {number}" in message for number in (1, 2, 42, 43))
    assert str(files[1].relative_to(own)) in message
