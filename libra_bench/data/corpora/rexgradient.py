"""ReXGradient-160K's `SPLIT_metadata_view_position.json` (or `SPLIT_metadata.json`).

{study: {PatientID, Indication, Comparison, Findings, Impression, ImagePath, ImageViewPosition,
PatientSex, PatientAge, …}}, as public code that reads the set names them; the set itself is gated
and was not read. Its table `SPLIT_metadata.csv` names no images.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from libra_bench.core.errors import InputError
from libra_bench.core.files import read_json
from libra_bench.core.ids import is_missing, whose
from libra_bench.data.cohort import Cohort
from libra_bench.data.corpora import refuse_policy
from libra_bench.data.corpora.gathering import SPLITS, Gathering, told

UP = "../"
FRONTAL = ("PA", "AP", "POSTERO_ANTERIOR", "ANTERO_POSTERIOR")
TEXTS = ("findings", "impression", "indication", "comparison")


def load(path: str, *, split: str | None, prior_policy: str | None, section: str) -> Cohort:
    """Studies of one file, which is one split: its first frontal image, else its first.

    Raises:
        InputError: another form of JSON.
    """
    refuse_policy("ReXGradient-160K", prior_policy)
    file = Path(path)
    table = read_json(file, unique=True)
    if not isinstance(table, dict) or not table:
        raise InputError(
            f"{file}: ReXGradient's {{study: {{Findings, ImagePath, …}}}} was expected"
        )
    own = SPLITS.get(file.name.partition("_")[0].lower())
    found = Gathering(file, section, split)
    for key, row in table.items():
        if not isinstance(row, dict):
            found.faults.append(f"study {key!r}: an object was expected")
            continue
        try:
            found.add(f"study {key!r}", *_study(key, row, own))
        except ValueError as error:
            found.faults.append(f"study {key!r}: {error}")
    beside = file.resolve().parent
    return found.cohort(file.stem, beside.parent if _goes_up(table) else beside)


def _goes_up(table: dict[str, Any]) -> bool:
    """Whether images are named from the folder `metadata/` (`../deid_png/…`), as published."""
    several = (row.get("ImagePath") for row in table.values() if isinstance(row, dict))
    images = (image for one in several if isinstance(one, list) for image in one)
    return any(str(image).startswith(UP) for image in images)


def _study(
    key: str, row: dict[str, Any], split: str | None
) -> tuple[dict[str, str], dict[str, Any]]:
    images, views = row.get("ImagePath"), row.get("ImageViewPosition")
    if not isinstance(images, list) or not images:
        raise ValueError("ImagePath: a list of paths was expected")
    known = [str(one).upper() for one in views] if isinstance(views, list) else []
    frontal = next((n for n, view in enumerate(known[: len(images)]) if view in FRONTAL), 0)
    image = images[frontal]
    subject, _ = whose(row, [image] if isinstance(image, str) else [])
    person = {"sex": row.get("PatientSex"), "age": row.get("PatientAge")}
    return {name: told(row.get(name.capitalize())) for name in TEXTS}, {
        **{name: value for name, value in person.items() if not is_missing(value)},
        "question_id": key,
        "image": [image.removeprefix(UP) if isinstance(image, str) else image],
        "subject_id": subject or (key.partition("_")[0] if "_" in key else None),
        "study_id": key,
        "view": known[frontal] if known else None,
        "split": split,
    }
