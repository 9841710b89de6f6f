"""CheXpert Plus' table (`df_chexpert_plus_240401.csv`): a row an image, its report in sections.

Columns as Stanford-AIMI/chexpert-plus and code that reads the table name them: `path_to_image`,
`frontal_lateral`, `ap_pa`, `deid_patient_id`, `section_findings`, `section_impression`,
`section_clinical_history`, `section_history`, `section_comparison`, `section_technique`, `age`,
`sex`, `split`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from libra_bench.core.errors import InputError
from libra_bench.core.ids import whose
from libra_bench.data.cohort import Cohort
from libra_bench.data.corpora import refuse_policy
from libra_bench.data.corpora.gathering import Gathering, is_there, our_split, told
from libra_bench.data.texts.rows import column_names, read_rows

NEEDED = ("path_to_image", "section_findings", "section_impression")
FOLDERS = ("", "PNG", "images")
"""Where the images may lie beside the table; its paths end in .jpg, the files often in .png."""


def load(path: str, *, split: str | None, prior_policy: str | None, section: str) -> Cohort:
    """A study a row: its first frontal image, else its first.

    Raises:
        InputError: not that table, or rows without an image.
    """
    refuse_policy("CheXpert Plus", prior_policy)
    file = Path(path)
    table = read_rows(file, "reference")
    missing = [name for name in NEEDED if name not in column_names(table)]
    if missing:
        raise InputError(
            f"{file}: no column {', '.join(missing)}; it has {', '.join(column_names(table))}"
        )
    found = Gathering(file, section, split)
    studies: dict[str, tuple[str, dict[str, Any]]] = {}
    for place, row in zip(table.places, table.rows, strict=True):
        image = row["path_to_image"]
        if not isinstance(image, str) or not image.strip():
            found.faults.append(f"{place}: no path_to_image")
            continue
        _, study = whose({}, [image])
        key = study or image
        kept = studies.get(key)
        if kept is None or (_frontal(row) and not _frontal(kept[1])):
            studies[key] = (place, row)
    root = _root(file.resolve().parent, [row["path_to_image"] for _, row in studies.values()])
    for key, (place, row) in studies.items():
        try:
            found.add(f"{place} (study {key})", *_study(root, key, row))
        except ValueError as error:
            found.faults.append(f"{place} (study {key}): {error}")
    return found.cohort(file.stem, root)


def _frontal(row: dict[str, Any]) -> bool:
    return "frontal" in str(row.get("frontal_lateral") or row["path_to_image"]).lower()


def _root(beside: Path, images: list[str]) -> Path:
    """The folder below which the first image is found; that of the table where none is."""
    for name in FOLDERS:
        if images and _place(beside / name, images[0]) is not None:
            return beside / name
    return beside


def _place(root: Path, image: str) -> str | None:
    png = str(Path(image).with_suffix(".png"))
    return next((one for one in (image, png) if is_there(root / one)), None)


def _study(root: Path, key: str, row: dict[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    history = [told(row.get(f"section_{name}")) for name in ("clinical_history", "history")]
    texts = {
        "findings": told(row["section_findings"]),
        "impression": told(row["section_impression"]),
        "history": " ".join(dict.fromkeys(one for one in history if one)),
        "technique": told(row.get("section_technique")),
        "comparison": told(row.get("section_comparison")),
    }
    image = row["path_to_image"]
    person = {name: row[name] for name in ("age", "sex") if row.get(name)}
    subject, study = whose(row, [image])
    return texts, {
        **person,
        "question_id": key,
        "image": [_place(root, image) or image],
        "subject_id": subject,
        "study_id": study or key,
        "view": row.get("ap_pa"),
        "split": our_split(row.get("split")),
    }
