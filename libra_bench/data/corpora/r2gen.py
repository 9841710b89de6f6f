"""R2Gen's `annotation.json`: {train, val, test: [{id, image_path, report, …}]}.

Of zhjohnchan/R2Gen and the many that took its files over (IU X-ray, MIMIC-CXR). `report` is the
findings. The two images of an IU study are its two views, so the second is no prior.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from libra_bench.core.errors import InputError
from libra_bench.core.files import read_json
from libra_bench.core.ids import whose
from libra_bench.data.cohort import Cohort
from libra_bench.data.corpora import refuse_policy, refuse_report
from libra_bench.data.corpora.gathering import Gathering, our_split, told
from libra_bench.data.reporting import FINDINGS

IMAGES = "images"
"""The folder beside the file, where there is one."""


def load(path: str, *, split: str | None, prior_policy: str | None, section: str) -> Cohort:
    """Studies (IU X-ray) or images (MIMIC-CXR) of the file, with its own splits.

    Raises:
        InputError: another form of JSON, another section than findings.
    """
    refuse_policy("R2Gen's annotation file", prior_policy)
    refuse_report("R2Gen's annotation file", section)
    if section != FINDINGS:
        raise InputError(f"--section {section}: R2Gen's annotation file holds findings alone")
    file = Path(path)
    table = read_json(file, unique=True)
    if not isinstance(table, dict) or not any(isinstance(rows, list) for rows in table.values()):
        raise InputError(f"{file}: R2Gen's {{train: […], val: […], test: […]}} was expected")
    found = Gathering(file, section, split)
    for name, rows in table.items():
        if not isinstance(rows, list):
            found.faults.append(f"{name}: a list of studies was expected")
            continue
        for number, row in enumerate(rows):
            place = f"{name}[{number}]"
            if not isinstance(row, dict):
                found.faults.append(f"{place}: an object was expected")
                continue
            try:
                found.add(f"{place} (id {row.get('id')!r})", *_study(row, name))
            except ValueError as error:
                found.faults.append(f"{place} (id {row.get('id')!r}): {error}")
    beside = file.resolve().parent
    return found.cohort(file.stem, beside / IMAGES if (beside / IMAGES).is_dir() else beside)


def _study(row: dict[str, Any], split: str) -> tuple[dict[str, str], dict[str, Any]]:
    images = row.get("image_path")
    images = [images] if isinstance(images, str) else images
    if not isinstance(images, list) or not images:
        raise ValueError("image_path: a list of paths was expected")
    subject, study = whose(row, images)
    return {FINDINGS: told(row.get("report"))}, {
        "question_id": row.get("id"),
        "image": images[:1],
        "subject_id": subject,
        "study_id": study,
        "split": our_split(split),
    }
