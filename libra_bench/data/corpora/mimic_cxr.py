"""MIMIC-CXR as PhysioNet ships it: tables, reports, JPG or DICOM images, below one folder."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from libra_bench.core.errors import InputError
from libra_bench.core.records import Example
from libra_bench.data.cohort import Cohort, Dropped
from libra_bench.data.mimic import (
    METADATA_FILE,
    ONE_TABLE,
    PAGE,
    SPLIT_FILE,
    Choice,
    Collection,
    LeftOut,
    any_image,
    choose,
    examples,
    report_reader,
)
from libra_bench.data.pairing import FRONTAL, POLICIES
from libra_bench.data.tables import SPLITS

__all__ = ["METADATA_FILE", "PAGE", "PLACE", "SPLIT_FILE", "load"]

PLACE = "LIBRA_BENCH_MIMIC_CXR"
"""Names the folder where `--data mimic-cxr` does not."""


def load(path: str, *, split: str | None, prior_policy: str | None, section: str) -> Cohort:
    """Frontal images whose report has the wanted section, an example each.

    Priors are chosen among the frontal images (`libra` unless another policy is named).

    Raises:
        MissingResourceError: files of the collection that are not there.
        InputError: tables that are not as PhysioNet ships them, an unknown split.
    """
    collection = Collection.open(Path(path or os.environ.get(PLACE, "")))
    root = collection.root
    if split is not None and split not in SPLITS:
        raise InputError(f"split {split!r}: MIMIC-CXR has {', '.join(SPLITS)}")
    choice = Choice(section=section, policy=prior_policy or "libra")
    # Priors never cross a split, and nothing of the other splits is needed beyond here.
    images = collection.images
    images = images[images["split"] == split] if split else images
    paired, unused = choose(images, choice)
    notes = []
    if len(paired) and not any_image(root, paired):
        # Reports and tables alone serve systems that look at no image.
        choice = replace(choice, trust_images=True)
        notes.append(f"no image is there below {root}: only systems that look at none can run")
    found, left = _sorted_out(examples(root, paired, choice, report_reader(root)))
    left += unused + [LeftOut("", "", "", image, ONE_TABLE) for image in collection.lonely]
    return Cohort(
        name="mimic-cxr",
        spec=path,
        examples=found,
        image_root=root,
        sources=collection.sources,
        notes=notes + _notes(left, choice),
        dropped=[Dropped(one.dicom_id or one.study_id, one.reason) for one in left],
        settings={
            "split": split or "all",
            "prior_policy": choice.policy,
            "views": "frontal, chosen before pairing",
            "images_of_other_views": str(int((~images["view"].isin(FRONTAL)).sum())),
            "special_studies": "kept; the published table of sections drops them",
        },
    )


def _sorted_out(one_by_one: Iterable[Example | LeftOut]) -> tuple[list[Example], list[LeftOut]]:
    found: list[Example] = []
    left: list[LeftOut] = []
    for one in one_by_one:
        if isinstance(one, Example):
            found.append(one)
        else:
            left.append(one)
    return found, left


def _notes(left: list[LeftOut], choice: Choice) -> list[str]:
    """How many were left out, reason by reason, and what there is to know of the policy."""
    reasons = Counter(one.kind for one in left).most_common()
    notes = [f"{count} left out: {reason}" for reason, count in reasons]
    rule = POLICIES[choice.policy]
    return [*notes, *([f"{rule.name}: {rule.note}"] if rule.note else [])]
