"""Writing the cohort as PhysioNet ships MIMIC-CXR: tables, reports, images."""

from __future__ import annotations

import gzip
import io
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from libra_bench.core.errors import InputError, writing
from libra_bench.core.files import write_atomic
from libra_bench.core.outputs import (
    clear_leftovers,
    is_unfinished,
    require_empty,
    sole_writer,
    whole_or_again,
)
from libra_bench.data.mimic import LABELS_FILE, METADATA_FILE, SPLIT_FILE
from libra_bench.data.parallel import begin_worker
from libra_bench.data.synthetic import drawing
from libra_bench.data.synthetic.course import Findings, first_visit, next_visit
from libra_bench.data.synthetic.wording import INDICATIONS, findings_text, impression_text

VERSION = "3"
"""Raised whenever the same seed gives other bytes."""
LATENT_FILE = "synthetic-latent.csv"
TABLES = (SPLIT_FILE, METADATA_FILE, LABELS_FILE, LATENT_FILE)
FILES = "files"
_SAYS = "This cohort is being written, or was interrupted.\n"
SHARES = (("train", 0.65), ("validate", 0.1), ("test", 0.25))
DAYS_BETWEEN = (2, 400)
MOST_VISITS = 6
MOST_PATIENTS = 9_999_991 // MOST_VISITS
"""More would have to share the numbers that PhysioNet's form of an id has room for."""


@dataclass
class Written:
    """Rows of the tables that one patient adds."""

    split: list[dict[str, Any]] = field(default_factory=list)
    metadata: list[dict[str, Any]] = field(default_factory=list)
    chexpert: list[dict[str, Any]] = field(default_factory=list)
    latent: list[dict[str, Any]] = field(default_factory=list)


def synthesize(
    output: Path,
    patients: int = 120,
    seed: int = 0,
    *,
    on_patient: Callable[[int], None] = lambda done: None,
    workers: int = 2,
) -> None:
    """Write a cohort below `output`, which must be empty, absent, or left unfinished.

    The same seed gives the same bytes, whatever the number of workers; a patient is the same in
    a larger cohort, but for the split.

    Raises:
        InputError: the folder holds something, or there are no patients to write.
    """
    _check(output)
    if not 4 <= patients <= MOST_PATIENTS:
        raise InputError(
            f"--patients: at least 4, so that every split has one, at most {MOST_PATIENTS:,}"
        )
    if seed < 0:
        raise InputError(f"--seed {seed}: must not be negative")
    with writing(output):
        output.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            stack.enter_context(sole_writer(output))
            _check(output)  # Another process may have come and gone since.
            stack.enter_context(whole_or_again(output, _SAYS))
            _clear(output)
            _write(output, patients, seed, on_patient, workers)


def _check(output: Path) -> None:
    if not is_unfinished(output, _SAYS, (FILES, *TABLES)):
        require_empty(output)


def _clear(output: Path) -> None:
    """Take away what an interrupted start has written."""
    shutil.rmtree(output / FILES, ignore_errors=True)
    for name in TABLES:
        (output / name).unlink(missing_ok=True)
    clear_leftovers(output)


def _write(
    output: Path, patients: int, seed: int, on_patient: Callable[[int], None], workers: int
) -> None:
    tables = Written()
    write = partial(_write_patient, output, seed, patients)
    with ProcessPoolExecutor(max_workers=workers, initializer=begin_worker) as pool:
        for done, part in enumerate(pool.map(write, range(patients), chunksize=8), start=1):
            tables.split += part.split
            tables.metadata += part.metadata
            tables.chexpert += part.chexpert
            tables.latent += part.latent
            on_patient(done)
    _write_table(output / SPLIT_FILE, tables.split)
    _write_table(output / METADATA_FILE, tables.metadata)
    _write_table(output / LABELS_FILE, tables.chexpert)
    write_atomic(output / LATENT_FILE, pd.DataFrame(tables.latent).to_csv(index=False))


def split_of(patient: int, patients: int) -> str:
    """The split of a patient: consecutive shares, at least one patient each."""
    place, bound = (patient + 0.5) / patients, 0.0
    for name, share in SHARES:
        bound += share
        if place < bound:
            return name
    return SHARES[-1][0]


def study_of(patient: int, visit: int) -> str:
    """The id of a patient's visit: no two share one, and it carries no order in time.

    A drawn number would meet another one by the time that a few thousand were drawn.
    """
    place = patient * MOST_VISITS + visit
    return str(50_000_000 + place * 6_364_133 % 9_999_991)


def _write_patient(output: Path, seed: int, patients: int, patient: int) -> Written:
    rng = np.random.default_rng([seed, patient])
    subject = str(10_000_000 + patient * 7919 % 9_999_999)
    build = drawing.Build.draw(rng)
    rows = Written()
    shown: list[tuple[np.datetime64, str, Findings]] = []
    day = np.datetime64("2110-01-01") + int(rng.integers(0, 30_000))
    now = first_visit(rng)
    last_clock = 0
    for visit in range(_visits(rng)):
        if visit:
            # One visit in eight falls on the day of the one before, as in an intensive care unit.
            same_day = rng.random() < 0.125 and last_clock < 20
            now = next_visit(now, rng)
            day = day + (0 if same_day else int(rng.integers(*DAYS_BETWEEN)))
            last_clock = last_clock if same_day else 0
        hour = int(rng.integers(last_clock, 24)) if last_clock == 0 else last_clock + 2
        last_clock = min(hour + 1, 23)
        clock = hour * 10_000 + int(rng.integers(0, 60)) * 100 + int(rng.integers(0, 60))
        study = study_of(patient, visit)
        # What the report compares with: the last frontal image of an earlier day.
        earlier = ((name, state) for date, name, state in reversed(shown) if date < day)
        compared, seen = next(earlier, ("", None))
        folder = output / FILES / f"p{subject[:2]}" / f"p{subject}" / f"s{study}"
        folder.mkdir(parents=True)
        views = _views(rng)
        report = _report(now, seen, views, rng)
        folder.with_suffix(".txt").write_text(report, encoding="utf-8")
        identity = {"subject_id": subject, "study_id": study}
        if {"PA", "AP"} & set(views):
            shown.append((day, study, now))
        for view in views:
            image = _image_id(rng)
            _write_image(folder / image, now, build, view, rng)
            rows.split.append(
                {"dicom_id": image, **_turned(identity), "split": split_of(patient, patients)}
            )
            rows.metadata.append(_metadata(image, identity, view, day, clock, rng))
        rows.chexpert.append({**identity, **_labels(now)})
        rows.latent.append({**identity, "prior_study_id": compared, **asdict(now)})
    return rows


def _visits(rng: np.random.Generator) -> int:
    """1 to `MOST_VISITS`, most often 2 or 3."""
    chances = [0.2, 0.28, 0.24, 0.14, 0.09, 0.05]
    return int(rng.choice(range(1, MOST_VISITS + 1), p=chances))


def _views(rng: np.random.Generator) -> list[str]:
    kind = rng.choice(["PA", "AP", "both", "blank", "lateral"], p=[0.4, 0.4, 0.12, 0.04, 0.04])
    return {"both": ["PA", "LATERAL"], "blank": [""], "lateral": ["LATERAL"]}.get(kind, [str(kind)])


def _turned(identity: dict[str, str]) -> dict[str, str]:
    """PhysioNet's split table names the study before the patient."""
    return {"study_id": identity["study_id"], "subject_id": identity["subject_id"]}


def _image_id(rng: np.random.Generator) -> str:
    digits = "".join(f"{int(part):08x}" for part in rng.integers(0, 1 << 32, size=5))
    return "-".join(digits[start : start + 8] for start in range(0, 40, 8))


def _metadata(
    image: str,
    identity: dict[str, str],
    view: str,
    day: np.datetime64,
    clock: int,
    rng: np.random.Generator,
) -> dict[str, Any]:
    procedure = "CHEST (PORTABLE AP)" if view == "AP" else "CHEST (PA AND LAT)"
    meaning = {"PA": "postero-anterior", "AP": "antero-posterior", "LATERAL": "lateral"}
    return {
        "dicom_id": image,
        **identity,
        "PerformedProcedureStepDescription": procedure,
        "ViewPosition": view,
        "Rows": drawing.HEIGHT,
        "Columns": drawing.WIDTH,
        "StudyDate": str(day).replace("-", ""),
        "StudyTime": f"{clock + int(rng.integers(0, 1000)) / 1000:.3f}",
        "ProcedureCodeSequence_CodeMeaning": procedure,
        "ViewCodeSequence_CodeMeaning": meaning.get(view, ""),
        "PatientOrientationCodeSequence_CodeMeaning": "Erect",
    }


def _report(
    now: Findings, before: Findings | None, views: list[str], rng: np.random.Generator
) -> str:
    """Text with headers as in MIMIC-CXR; one report in twelve has an impression only."""
    indication = INDICATIONS[int(rng.integers(len(INDICATIONS)))]
    reason = "INDICATION" if rng.random() < 0.8 else "HISTORY"
    sections = [
        ("EXAMINATION", "CHEST RADIOGRAPH"),
        (reason, f"___ year old patient with {indication}."),
    ]
    if rng.random() < 0.5:
        sections.append(("TECHNIQUE", _technique(views)))
    sections.append(("COMPARISON", "___." if before is not None else "None."))
    findings = findings_text(now, before, rng)
    if rng.random() >= 1 / 12:
        sections.append(("FINDINGS", _wrapped(findings)))
    sections.append(("IMPRESSION", impression_text(now, before)))
    body = "\n \n ".join(f"{name}:  {text}" for name, text in sections)
    return f"                                 FINAL REPORT\n {body}\n"


def _technique(views: list[str]) -> str:
    if "LATERAL" in views:
        return "Chest PA and lateral."
    return "Portable AP view of the chest." if "AP" in views else "Single view of the chest."


def _wrapped(text: str, width: int = 78) -> str:
    """Lines as in the collection: broken at words, each after the first indented by a space."""
    lines, line = [], ""
    for word in text.split():
        if line and len(line) + len(word) + 1 > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    return "\n ".join([*lines, line])


def _labels(now: Findings) -> dict[str, str]:
    """CheXpert's columns, as far as the cohort knows the findings."""
    present = {
        "Cardiomegaly": now.cardiomegaly,
        "Lung Opacity": now.opacity_left or now.opacity_right,
        "Lung Lesion": now.nodule,
        "No Finding": now.normal,
        "Pleural Effusion": now.effusion_left or now.effusion_right,
        "Pneumothorax": now.pneumothorax_left or now.pneumothorax_right,
        "Support Devices": now.tube or now.pacemaker,
    }
    columns = (
        "Atelectasis",
        "Cardiomegaly",
        "Consolidation",
        "Edema",
        "Enlarged Cardiomediastinum",
        "Fracture",
        "Lung Lesion",
        "Lung Opacity",
        "No Finding",
        "Pleural Effusion",
        "Pleural Other",
        "Pneumonia",
        "Pneumothorax",
        "Support Devices",
    )
    return {name: "1.0" if present.get(name) else "" for name in columns}


def _write_image(
    path: Path, now: Findings, build: drawing.Build, view: str, rng: np.random.Generator
) -> None:
    """JPG; one image in 40 as DICOM instead."""
    draw = drawing.lateral if view == "LATERAL" else drawing.frontal
    image = draw(now, build, rng)
    if rng.random() < 1 / 40:
        _write_dicom(path.with_suffix(".dcm"), image)
    else:
        image.save(path.with_suffix(".jpg"), quality=90)


def _write_dicom(path: Path, image: Image.Image) -> None:
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import UID, DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

    storage = DigitalXRayImageStorageForPresentation
    # A fixed root and the file's own hexadecimal name make the same bytes for the same seed.
    identity = UID(f"2.25.{int(path.stem.replace('-', '')[:30], 16)}")
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = storage
    meta.MediaStorageSOPInstanceUID = identity
    data = FileDataset(path, {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = storage, identity
    data.Modality, data.PhotometricInterpretation = "DX", "MONOCHROME2"
    data.Rows, data.Columns = image.height, image.width
    data.SamplesPerPixel, data.PixelRepresentation = 1, 0
    data.BitsAllocated, data.BitsStored, data.HighBit = 8, 8, 7
    data.PixelData = image.tobytes()
    data.save_as(path, enforce_file_format=True)


def _write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    text = pd.DataFrame(rows).to_csv(index=False)
    buffer = io.BytesIO()
    # No time stamp and no name in the header: the same table gives the same bytes.
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0, filename="") as stream:
        stream.write(text.encode("utf-8"))
    write_atomic(path, buffer.getvalue())
