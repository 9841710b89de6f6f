"""PadChest-GR's `grounded_reports_20240819.json`: a list of studies, their findings by sentence.

[{StudyID, ImageID, findings: [{sentence_en, sentence_es, abnormal, …}]}], with splits and patients
in `master_table.csv` beside it (`StudyID`, `PatientID`, `split`), as public code that reads the set
names them; the set itself is gated and was not read. The reference is the English sentences in
their order; boxes are not used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from libra_bench.core.errors import InputError
from libra_bench.core.files import read_json
from libra_bench.core.ids import whose
from libra_bench.data.cohort import Cohort
from libra_bench.data.corpora import refuse_policy, refuse_report
from libra_bench.data.corpora.gathering import Gathering, is_there, our_split, told
from libra_bench.data.reporting import FINDINGS
from libra_bench.data.texts.rows import read_rows

MASTER = "master_table.csv"
FOLDERS = ("", "Padchest_GR_files/PadChest_GR", "PadChest_GR", "images_grounding", "images")


def load(path: str, *, split: str | None, prior_policy: str | None, section: str) -> Cohort:
    """A study an image. Splits and patients are known where the master table lies beside.

    Raises:
        InputError: another form of JSON, another section than findings, a split asked for
            without the table that tells it.
    """
    refuse_policy("PadChest-GR", prior_policy)
    refuse_report("PadChest-GR", section)
    if section != FINDINGS:
        raise InputError(f"--section {section}: PadChest-GR holds findings alone")
    file = Path(path)
    studies = read_json(file, unique=True)
    if not isinstance(studies, list) or not studies:
        raise InputError(f"{file}: PadChest-GR's list of studies was expected")
    master = file.resolve().parent / MASTER
    known = _master(master) if master.is_file() else {}
    found = Gathering(file, section, split)
    if not known:
        found.notes.append(f"{MASTER} is not beside it: splits and patients are unknown")
    for number, row in enumerate(studies):
        place = f"object {number}"
        if not isinstance(row, dict):
            found.faults.append(f"{place}: an object was expected")
            continue
        place += f" (StudyID {row.get('StudyID')!r})"
        try:
            found.add(place, *_study(row, known))
        except ValueError as error:
            found.faults.append(f"{place}: {error}")
    images = [one.image[0] for one in found.examples if one.image]
    return found.cohort(file.stem, _root(file.resolve().parent, images))


def _master(file: Path) -> dict[str, dict[str, Any]]:
    """By study, the first row of the table; all rows of a study say the same of it."""
    rows: dict[str, dict[str, Any]] = {}
    for row in read_rows(file, "reference").rows:
        rows.setdefault(str(row.get("studyid")), row)
    return rows


def _study(
    row: dict[str, Any], known: dict[str, dict[str, Any]]
) -> tuple[dict[str, str], dict[str, Any]]:
    findings = row.get("findings")
    if not isinstance(findings, list) or not all(isinstance(one, dict) for one in findings):
        raise ValueError("findings: a list of sentences was expected")
    sentences = [told(one.get("sentence_en")) for one in findings]
    about = known.get(str(row.get("StudyID")), {})
    subject, _ = whose({"PatientID": about.get("patientid"), **row})
    return {FINDINGS: " ".join(one for one in sentences if one)}, {
        "question_id": row.get("StudyID"),
        "image": [row.get("ImageID")],
        "subject_id": subject,
        "study_id": row.get("StudyID"),
        "split": our_split(about.get("split")),
    }


def _root(beside: Path, images: list[str]) -> Path:
    """The folder of the first image; that of the file where it is in none."""
    places = (beside / name for name in FOLDERS)
    return next((one for one in places if images and is_there(one / images[0])), beside)
