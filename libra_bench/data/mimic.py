"""MIMIC-CXR's images and reports, below one folder as PhysioNet ships them, as examples."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, cast

import pandas as pd

from libra_bench.core.errors import InputError, MissingResourceError
from libra_bench.core.records import Example
from libra_bench.data.pairing import FRONTAL, POLICIES, pair, with_paths
from libra_bench.data.prompts import question
from libra_bench.data.reporting import absent, reference_of
from libra_bench.data.reports import decode
from libra_bench.data.sections import is_special, parse
from libra_bench.data.tables import read_images, read_normal
from libra_bench.data.trees import inside, read_member

SPLIT_FILE = "mimic-cxr-2.0.0-split.csv.gz"
METADATA_FILE = "mimic-cxr-2.0.0-metadata.csv.gz"
LABELS_FILE = "mimic-cxr-2.0.0-chexpert.csv.gz"
"""CheXpert's labels of the reports; only asked whether a study is normal, where it is there."""
REPORTS_FILE = "mimic-cxr-reports.zip"
PAGE = (
    "https://physionet.org/content/mimic-cxr-jpg/ (tables and images) and "
    "https://physionet.org/content/mimic-cxr/ (reports); both need a credentialed PhysioNet "
    "account. `libra-bench` without --data runs on a synthetic cohort of the same form"
)
ONE_TABLE = "in one table only"
NAMED_FILE = re.compile(r":? files/[^\s,]+(, line \d+)?|^files/[^:]+: | \(byte \d+\)")
_SAID: dict[str, Callable[[Any], Any]] = {"abnormal": bool, "days_to_prior": int}
"""What an example tells beside the evaluation format, where it is known."""
ReadReport = Callable[[str], bytes | None]


@dataclass(frozen=True)
class Choice:
    """What is made of the collection; recorded beside whatever is made of it.

    Attributes:
        drop_special: leave out the 54 studies that the published table of sections leaves out.
        trust_images: take it that every image is there as JPG, without looking.
    """

    section: str = "findings"
    policy: str = "libra"
    views: str = "frontal"
    filter_when: str = "before"
    exclude: frozenset[str] = frozenset()
    drop_special: bool = False
    trust_images: bool = False


class LeftOut(NamedTuple):
    """A study, or one image of it, that cannot be used or was not chosen."""

    split: str
    subject_id: str
    study_id: str
    dicom_id: str
    reason: str

    @property
    def kind(self) -> str:
        """The reason without the file it names, for counting."""
        return NAMED_FILE.sub("", self.reason)


@dataclass(frozen=True)
class Collection:
    """The tables, joined, and what stands in one of them only."""

    root: Path
    images: pd.DataFrame
    lonely: list[str]

    @property
    def sources(self) -> list[Path]:
        """The files that decide the examples, but for the reports."""
        return [_table_file(self.root, name) for name in (SPLIT_FILE, METADATA_FILE)]

    @classmethod
    def open(cls, root: Path) -> Collection:
        """Read the tables below `root`.

        Raises:
            MissingResourceError: files of the collection that are not there.
            InputError: tables that are not as PhysioNet ships them.
        """
        names = (SPLIT_FILE, METADATA_FILE, "files")
        missing = [name for name in names if not _table_file(root, name).exists()]
        if missing:
            raise MissingResourceError(f"MIMIC-CXR is not in {root}: no {', '.join(missing)}", PAGE)
        images, lonely = read_images(
            _table_file(root, METADATA_FILE), _table_file(root, SPLIT_FILE)
        )
        labels = _table_file(root, LABELS_FILE)
        normal = read_normal(labels) if labels.is_file() else {}
        known = images["study_id"].map(normal).astype("boolean")
        return cls(root, images.assign(abnormal=~known), lonely)


def choose(images: pd.DataFrame, choice: Choice) -> tuple[pd.DataFrame, list[LeftOut]]:
    """Images with their priors' paths, and the studies of which none was chosen."""
    paired = with_paths(
        pair(
            images,
            choice.policy,
            views=choice.views,
            filter_when=choice.filter_when,
            exclude=choice.exclude,
        )
    )
    paired = paired.assign(days_to_prior=_days_between(images, paired))
    unused = images[~images["study_id"].isin(paired["study_id"])]
    named = unused["study_id"].isin(choice.exclude) | unused["dicom_id"].isin(choice.exclude)
    lateral = ~unused["view"].isin(FRONTAL) & (choice.views == "frontal")
    studies = (
        unused.assign(named=named, unseen=named | lateral)
        .groupby(["split", "subject_id", "study_id"], sort=True)[["named", "unseen"]]
        .all()
    )
    rule = POLICIES[choice.policy]
    left = []
    for (split, subject, study), named, unseen in studies.itertuples():
        reason = "no frontal image" if unseen else f"not used by {rule.name}: {rule.rule}"
        reason = "named to be left out" if named else reason
        left.append(LeftOut(split, subject, study, "", reason))
    return paired, left


def _days_between(images: pd.DataFrame, paired: pd.DataFrame) -> pd.Series:
    """Days from each image's prior study to its own; missing where there is none."""
    dates = images.drop_duplicates("study_id").set_index("study_id")["date"]
    days = pd.to_datetime(dates, format="%Y%m%d")
    # `map` of no rows at all would lose the type.
    own, prior = (days.reindex(paired[name]) for name in ("study_id", "prior_study_id"))
    between = pd.to_timedelta(own.to_numpy() - prior.to_numpy())
    return pd.Series(between, index=paired.index).dt.days


def examples(
    root: Path, rows: pd.DataFrame, choice: Choice, read: ReadReport
) -> Iterator[Example | LeftOut]:
    """An example an image, in the order of `rows`; or why there is none.

    What concerns a whole study (no report, no wanted section) is told once.
    """
    listing = lru_cache(maxsize=64)(_names_in)
    studies: dict[str, dict[str, str] | str] = {}
    for row in cast(list[dict[str, Any]], rows.to_dict("records")):
        study = row["study_id"]
        identity = (row["split"], row["subject_id"], study)
        if study not in studies:
            studies[study] = _sections(row, choice, read)
            if isinstance(studies[study], str):
                yield LeftOut(*identity, "", str(studies[study]))
        sections = studies[study]
        if isinstance(sections, str):
            continue
        wanted = [name for name in (row["image"], row["prior_image"]) if name]
        if not choice.trust_images:
            places = [_existing(root, name, listing) for name in wanted]
            if None in places:
                absent = wanted[places.index(None)]
                which = "its image" if absent == row["image"] else "the prior image"
                yield LeftOut(*identity, row["dicom_id"], f"{which} is missing: {absent}")
                continue
            wanted = [place for place in places if place]
        yield _example(row, wanted, sections, choice)


def any_image(root: Path, rows: pd.DataFrame) -> bool:
    """Whether one at least of the images of `rows` is below `root`.

    Tables and reports are often where the images are not; then each would be told of as missing.
    """
    listing = lru_cache(maxsize=64)(_names_in)
    return any(_existing(root, image, listing) for image in rows["image"])


def report_reader(place: Path) -> ReadReport:
    """Reads a report by its name (`files/p10/p10000032/s50414267.txt`); None where it is not.

    Args:
        place: `mimic-cxr-reports.zip`, or a folder that holds it or `files`.

    Raises:
        InputError: not a zip archive, or not there.
    """
    packed = place if place.is_file() else place / REPORTS_FILE
    if not packed.is_file():
        if not place.is_dir():
            raise InputError(f"{place}: neither a folder with reports nor {REPORTS_FILE}")
        return lambda name: _report_in(place, name)
    try:
        archive = zipfile.ZipFile(packed)
    except zipfile.BadZipFile as error:
        raise InputError(f"{packed}: not a zip archive ({error})") from None
    members = {member.filename: member for member in archive.infolist()}
    return lambda name: read_member(archive, members[name]) if name in members else None


def _report_in(place: Path, name: str) -> bytes | None:
    """A report below a folder; `files` may be a link to another disk, a report may not."""
    file = place / name
    return inside(file, place).read_bytes() if file.exists() else None


def _table_file(root: Path, name: str) -> Path:
    """PhysioNet's file, or what is left of it once it was unpacked in place."""
    plain = root / name.removesuffix(".gz")
    return plain if plain.exists() and not (root / name).exists() else root / name


def _sections(row: dict[str, Any], choice: Choice, read: ReadReport) -> dict[str, str] | str:
    """The report's sections, or why there are none to use."""
    subject, study = row["subject_id"], row["study_id"]
    if choice.drop_special and is_special(f"s{study}"):
        return "one of the 54 studies that the published table of sections leaves out"
    name = f"files/p{subject[:2]}/p{subject}/s{study}.txt"
    try:
        content = read(name)
        if content is None:
            return f"no report {name}"
        sections = parse(decode(content, name))
    except InputError as error:
        return str(error)
    told = reference_of(sections, choice.section)
    return sections if told else f"{absent(choice.section)} in its report"


def _example(
    row: dict[str, Any], images: list[str], sections: dict[str, str], choice: Choice
) -> Example:
    texts = {name: " ".join(text.split()) for name, text in sections.items()}
    return Example.model_validate(
        {
            **texts,
            "question_id": row["dicom_id"],
            "image": images,
            "text": question(sections, choice.section),
            "reference": reference_of(texts, choice.section),
            "subject_id": row["subject_id"],
            "study_id": row["study_id"],
            "split": row["split"],
            "view": row["view"],
            "prior_policy": choice.policy,
            **{name: kind(row[name]) for name, kind in _SAID.items() if not pd.isna(row[name])},
        }
    )


def _names_in(folder: str) -> frozenset[str]:
    try:
        return frozenset(one.name for one in Path(folder).iterdir())
    except FileNotFoundError:
        return frozenset()


def _existing(root: Path, image: str, listing: Callable[[str], frozenset[str]]) -> str | None:
    """The image as it is there, as JPG or (in MIMIC-CXR rather than MIMIC-CXR-JPG) DICOM."""
    folder, _, name = image.rpartition("/")
    # One look at a study's folder serves all of its images; stores far away answer slowly.
    there = listing(str(root / folder))
    dicom = name.removesuffix(".jpg") + ".dcm"
    return next((f"{folder}/{one}" for one in (name, dicom) if one in there), None)
