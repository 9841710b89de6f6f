"""Open-i's Indiana University collection: one XML file a report, as a tar archive or a folder."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

from libra_bench.core.errors import InputError
from libra_bench.core.files import listing
from libra_bench.core.records import Example
from libra_bench.data.cohort import Cohort, Dropped
from libra_bench.data.corpora import refuse_policy
from libra_bench.data.prompts import question
from libra_bench.data.reporting import absent, reference_of
from libra_bench.data.trees import files_of


def load(path: str, *, split: str | None, prior_policy: str | None, section: str) -> Cohort:
    """Reports by their uid (`CXR3030`). The collection has no splits of its own.

    Raises:
        InputError: no such file, reports that are no XML, or two with one uid.
    """
    refuse_policy("Open-i", prior_policy)
    place = Path(path)
    examples, dropped, faults = [], [], []
    files: dict[str, str] = {}
    for name, content in _files(place):
        try:
            report = _parse(name, content)
            example = _example(report, section) if reference_of(report, section) else None
        except (ElementTree.ParseError, LookupError, ValueError) as error:
            faults.append(f"{name}: not XML ({error})")
            continue
        uid = report["uid"]
        if uid in files:
            faults.append(f"{name}: the report {uid!r} stands in {files[uid]} already")
        files.setdefault(uid, name)
        if example is None:
            dropped.append(Dropped(uid, absent(section)))
        else:
            examples.append(example)
    if faults:
        raise InputError(f"{place}: {listing(faults)}")
    if not examples:
        raise InputError(
            f"{place}: "
            + (
                f"{len(dropped)} reports, {absent(section)}"
                if dropped
                else "no Open-i reports in it"
            )
        )
    # Archives list 1, 10, 100; by number the order is the same for every archive and folder.
    examples.sort(key=lambda one: (len(one.question_id), one.question_id))
    return Cohort(
        name="openi",
        spec=path,
        examples=examples,
        image_root=place.resolve().parent,
        sources=[place] if place.is_file() else [],
        dropped=dropped,
        notes=[f"{len(dropped)} reports are left out: {absent(section)}"] if dropped else [],
        settings={"prior_policy": "none"},
    )


def _files(place: Path) -> Iterator[tuple[str, bytes]]:
    for name, where, content in files_of(place, _is_report):
        yield (
            (where if place.is_dir() else name),
            (content if isinstance(content, bytes) else content.read_bytes()),
        )


def _is_report(name: str) -> bool:
    """Whether a file is a report, and not what macOS writes beside one (`._1.xml`)."""
    return name.endswith(".xml") and not Path(name).name.startswith("._")


def _parse(name: str, content: bytes) -> dict[str, str]:
    """The report's texts by label, all of those that have the same one; its id and first image."""
    root = ElementTree.fromstring(content)
    identity = root.find("uId")
    uid = (identity.get("id") or "").strip() if identity is not None else ""
    # A report that does not say its id is known by its file.
    report = {"uid": uid or Path(name).stem}
    for text in root.iter("AbstractText"):
        label = (text.get("Label") or "").strip().lower()
        words = " ".join("".join(text.itertext()).split())
        if label and label not in ("uid", "image") and words:
            report[label] = f"{report[label]} {words}" if label in report else words
    image = root.find("parentImage")
    if image is not None:
        report["image"] = image.get("id", "")
    return report


def _example(report: dict[str, str], section: str) -> Example:
    texts = {
        name: report[name]
        for name in ("indication", "comparison", "findings", "impression")
        if report.get(name)
    }
    return Example.model_validate(
        {
            **texts,
            "question_id": report["uid"],
            "image": [f"{report['image']}.png"] if report.get("image") else [],
            "text": question(texts, section),
            "reference": reference_of(report, section),
            "subject_id": report["uid"],
            "study_id": report["uid"],
            "prior_policy": "none",
        }
    )
