"""Open-i's Indiana University collection: one XML file a report, as a tar archive or a folder."""

from __future__ import annotations

import tarfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

from libra_bench.core.errors import InputError
from libra_bench.core.files import listing
from libra_bench.core.records import Example
from libra_bench.data.cohort import Cohort, Dropped
from libra_bench.data.corpora import refuse_policy
from libra_bench.data.prompts import question


def load(path: str, *, split: str | None, prior_policy: str | None, section: str) -> Cohort:
    """Reports by their uid (`CXR3030`). The collection has no splits of its own.

    Raises:
        InputError: no such file, or reports that are no XML.
    """
    refuse_policy("Open-i", prior_policy)
    place = Path(path)
    examples, dropped, faults = [], [], []
    for name, content in _files(place):
        try:
            report = _parse(content)
        except ElementTree.ParseError as error:
            faults.append(f"{name}: not XML ({error})")
            continue
        if not report.get(section):
            dropped.append(Dropped(report["uid"] or name, f"no {section}"))
            continue
        examples.append(_example(report, section))
    if faults:
        raise InputError(f"{place}: {listing(faults)}")
    if not examples:
        raise InputError(f"{place}: no Open-i reports in it")
    # Archives list 1, 10, 100; by number the order is the same for every archive and folder.
    examples.sort(key=lambda one: (len(one.question_id), one.question_id))
    return Cohort(
        name="openi",
        spec=path,
        examples=examples,
        image_root=place.resolve().parent,
        sources=[place] if place.is_file() else [],
        dropped=dropped,
        notes=[f"{len(dropped)} reports without {section} are left out"] if dropped else [],
        settings={"prior_policy": "none"},
    )


def _files(place: Path) -> Iterator[tuple[str, bytes]]:
    if place.is_dir():
        for file in sorted(place.rglob("*.xml")):
            yield str(file.relative_to(place)), file.read_bytes()
        return
    try:
        with tarfile.open(place) as archive:
            for member in archive:
                stream = archive.extractfile(member) if member.name.endswith(".xml") else None
                if stream is not None:
                    yield member.name, stream.read()
    except (OSError, EOFError, tarfile.TarError) as error:
        raise InputError(f"{place}: cannot be read as a tar archive ({error})") from None


def _parse(content: bytes) -> dict[str, str]:
    root = ElementTree.fromstring(content)
    identity = root.find("uId")
    report = {"uid": identity.get("id", "") if identity is not None else ""}
    for text in root.iter("AbstractText"):
        label = (text.get("Label") or "").lower()
        report[label] = " ".join("".join(text.itertext()).split())
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
            "reference": report[section],
            "subject_id": report["uid"],
            "study_id": report["uid"],
            "prior_policy": "none",
        }
    )
