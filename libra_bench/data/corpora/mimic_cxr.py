"""MIMIC-CXR as PhysioNet ships it: tables, reports, JPG or DICOM images, below one folder."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from libra_bench.core.errors import InputError, MissingResourceError
from libra_bench.core.records import Example
from libra_bench.data.cohort import Cohort, Dropped
from libra_bench.data.pairing import FRONTAL, pair, with_paths
from libra_bench.data.prompts import question
from libra_bench.data.reports import decode
from libra_bench.data.sections import parse
from libra_bench.data.tables import SPLITS, join, read_metadata, read_splits

SPLIT_FILE = "mimic-cxr-2.0.0-split.csv.gz"
METADATA_FILE = "mimic-cxr-2.0.0-metadata.csv.gz"
PLACE = "LIBRA_BENCH_MIMIC_CXR"
"""Names the folder where `--data mimic-cxr` does not."""
REPORTS_FILE = "mimic-cxr-reports.zip"
PAGE = (
    "https://physionet.org/content/mimic-cxr-jpg/ (tables and images) and "
    "https://physionet.org/content/mimic-cxr/ (reports); both need a credentialed PhysioNet "
    "account. `libra-bench` without --data runs on a synthetic cohort of the same form"
)


def load(path: str, *, split: str | None, prior_policy: str | None, section: str) -> Cohort:
    """Frontal images whose report has the wanted section, an example each.

    Priors are chosen among the frontal images (`libra` unless another policy is named).

    Raises:
        MissingResourceError: files of the collection that are not there.
        InputError: tables that are not as PhysioNet ships them, an unknown split.
    """
    root = Path(path or os.environ.get(PLACE, ""))
    missing = [name for name in (SPLIT_FILE, METADATA_FILE, "files") if not (root / name).exists()]
    if missing:
        raise MissingResourceError(f"MIMIC-CXR is not in {root}: no {', '.join(missing)}", PAGE)
    if split is not None and split not in SPLITS:
        raise InputError(f"split {split!r}: MIMIC-CXR has {', '.join(SPLITS)}")
    policy = prior_policy or "libra"
    images, lonely = join(read_metadata(root / METADATA_FILE), read_splits(root / SPLIT_FILE))
    # Priors never cross a split, and nothing of the other splits is needed beyond here.
    chosen = images[images["split"] == split] if split else images
    paired = with_paths(pair(chosen, policy, views="frontal"))
    reports, dropped = _reports(root, paired, section)
    examples = []
    for row in paired.to_dict("records"):
        sections = reports.get(str(row["study_id"]))
        if sections is not None:
            fields = {str(name): str(value) for name, value in row.items()}
            examples.append(_example(root, fields, sections, section, policy))
    frontal = chosen["view"].isin(FRONTAL)
    notes = [f"{len(dropped)} studies without {section} are left out"] if dropped else []
    unseen = chosen.loc[~chosen["study_id"].isin(paired["study_id"]), "study_id"].unique()
    if len(unseen):
        notes.append(f"{len(unseen)} studies without a frontal image are left out")
        dropped += [Dropped(str(study), "no frontal image") for study in unseen]
    if lonely:
        notes.append(f"{len(lonely)} images stand in one table only and are left out")
        dropped += [Dropped(image, "in one table only") for image in lonely]
    return Cohort(
        name="mimic-cxr",
        spec=path,
        examples=examples,
        image_root=root,
        sources=[root / SPLIT_FILE, root / METADATA_FILE],
        notes=notes,
        dropped=dropped,
        settings={
            "split": split or "all",
            "prior_policy": policy,
            "views": "frontal, chosen before pairing",
            "images_of_other_views": str(int((~frontal).sum())),
            "special_studies": "kept; the published table of sections drops them",
        },
    )


def _reports(
    root: Path, paired: pd.DataFrame, section: str
) -> tuple[dict[str, dict[str, str]], list[Dropped]]:
    """Sections of each study that has the wanted one, and the studies that have not."""
    reports: dict[str, dict[str, str]] = {}
    dropped = []
    studies = paired.drop_duplicates("study_id")
    read = _reader(root)
    for subject, study in zip(studies["subject_id"], studies["study_id"], strict=True):
        name = f"files/p{subject[:2]}/p{subject}/s{study}.txt"
        content = read(name)
        if content is None:
            dropped.append(Dropped(study, f"no report {name}"))
            continue
        sections = parse(decode(content, name))
        if sections.get(section):
            reports[study] = sections
        else:
            dropped.append(Dropped(study, f"no {section} in its report"))
    return reports, dropped


def _reader(root: Path) -> Callable[[str], bytes | None]:
    """Reads a report by its name: from `mimic-cxr-reports.zip` where that is, else unpacked."""
    packed = root / REPORTS_FILE
    if not packed.is_file():
        return lambda name: (root / name).read_bytes() if (root / name).is_file() else None
    try:
        archive = zipfile.ZipFile(packed)
    except zipfile.BadZipFile as error:
        raise InputError(f"{packed}: not a zip archive ({error})") from None
    names = set(archive.namelist())
    return lambda name: archive.read(name) if name in names else None


def _example(
    root: Path, row: dict[str, str], sections: dict[str, str], section: str, policy: str
) -> Example:
    images = [row["image"], row["prior_image"]] if row["prior_image"] else [row["image"]]
    return Example.model_validate(
        {
            **{name: " ".join(text.split()) for name, text in sections.items()},
            "question_id": row["dicom_id"],
            "image": [_existing(root, image) for image in images],
            "text": question(sections, section),
            "reference": " ".join(sections[section].split()),
            "subject_id": row["subject_id"],
            "study_id": row["study_id"],
            "split": row["split"],
            "view": row["view"],
            "prior_policy": policy,
        }
    )


def _existing(root: Path, image: str) -> str:
    """The DICOM file where only that is there (MIMIC-CXR rather than MIMIC-CXR-JPG)."""
    dicom = image.removesuffix(".jpg") + ".dcm"
    return dicom if not (root / image).is_file() and (root / dicom).is_file() else image
