"""Ids of reports, studies and patients: one form of each, and where the data tells whose it is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from numbers import Integral
from typing import Any

PATIENT_FIELDS = (
    "subject_id",
    "patient_id",
    "deid_patient_id",
    "PatientID",
    "patientId",
    "patientid",
)
"""Names of the patient, in the order in which they are read; tables write theirs small."""
STUDY_FIELDS = ("study_id",)
PATH_FIELDS = (
    "image_path",
    "key_image_path",
    "dicom_path",
    "img_path",
    "file_path",
    "path",
    "image",
    "images",
    "image_paths",
)
"""Names of an image's path, or of a list of them, which may tell patient and study."""
KEY_FIELDS = ("study_id", "question_id", "id", "case_id", "image_id", "uid")
"""Names of ids that may be made of the patient's."""
NOTHING = frozenset({"", "nan", "none", "null", "<na>", "nat"})
"""What pandas and JSON writers leave where an id is missing."""
LARGEST_WHOLE = 2**53
"""Above this a float no longer holds every whole number."""

_FLOAT_ID = re.compile(r"(\d+)\.0+")
# files/p10/p10000032/s50414267/… of PhysioNet, with or without the folder of the group (p10).
_PHYSIONET = re.compile(r"(?:^|[/\\])p(\d+)[/\\]s(\d+)(?=[/\\.]|$)")
_PHYSIONET_PATIENT = re.compile(r"(?:^|[/\\])p(\d{8})(?=[/\\])")
# 10000032/50414267/… or p10000032_s50414267_… of files that were put elsewhere: MIMIC-CXR's ids of
# patients begin with 1, those of studies with 5.
_MIMIC_IDS = re.compile(r"(?:^|[/\\_-])p?(1\d{7})[/\\_-]s?(5\d{7})(?=[/\\_.-]|$)")
# train/patient42142/study5/… of CheXpert.
_CHEXPERT = re.compile(r"(?:^|[/\\])(patient\d+)[/\\](study\d+)(?=[/\\.]|$)")
# CXR3030_IM-1405 is the patient CXR3030 of Open-i, patient64620_study1 that of CheXpert Plus. The
# words before a `_` of other ids (`study_1`) say nothing of patients.
_IN_KEY = re.compile(r"(CXR\d+)_IM\b.*|(patient\d+)_study\d+.*")
# deid_png/<patient>/<accession>/studies/… of ReXGradient.
_REXGRADIENT = re.compile(r"(?:^|[/\\])([^/\\]+)[/\\]([^/\\]+)[/\\]studies[/\\]")


def is_missing(value: Any) -> bool:
    """Whether a field holds nothing: null, or the NaN that pandas writes for it."""
    return value is None or (isinstance(value, float) and value != value)


def as_id(value: Any) -> Any:
    """An id as text: numbers as their digits, `10000032.0` as pandas writes it without its end.

    Returns:
        None where there is none; what can be no id (a list, a truth value) as it is.

    Raises:
        ValueError: a float that is no whole number, or too large for its last digits to be true.
    """
    if is_missing(value):
        return None
    if isinstance(value, Integral) and not isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float):
        if not value.is_integer():
            raise ValueError(f"{value!r} is no id")
        if abs(value) > LARGEST_WHOLE:
            raise ValueError(f"the id {value!r} was made a float and has lost its last digits")
        return str(int(value))
    if isinstance(value, str):
        text = value.strip()
        return whole[1] if (whole := _FLOAT_ID.fullmatch(text)) else text
    return value


def known_id(value: Any) -> Any:
    """`as_id`, with None for the words that stand where an id is missing."""
    found = as_id(value)
    return None if isinstance(found, str) and found.lower() in NOTHING else found


def whose(fields: Mapping[str, Any], images: Sequence[Any] = ()) -> tuple[Any, Any]:
    """The patient and the study of a record: from its fields, its first image's path, or its id.

    Every reader and every record finds them here, so that a bootstrap resamples patients wherever
    the data tells them.

    Returns:
        (subject_id, study_id), each None where neither tells it.

    Raises:
        ValueError: a field holds what can be no id.
    """
    subject = _first(fields, PATIENT_FIELDS)
    study = _first(fields, STUDY_FIELDS)
    if subject is None or study is None:
        from_path = _of_path(_first_path(fields, images))
        subject = from_path[0] if subject is None else subject
        study = from_path[1] if study is None else study
    if subject is None:
        for key in (fields.get(name) for name in KEY_FIELDS):
            subject, own = of_key(key)
            if subject is not None:
                return subject, own if study is None else study
    return subject, study


def of_key(key: Any) -> tuple[str | None, str | None]:
    """The patient and the study that an id is made of, in the forms of the known corpora."""
    if not isinstance(key, str):
        return None, None
    if found := _MIMIC_IDS.search(key):
        return found[1], found[2]
    if found := _IN_KEY.fullmatch(key.strip()):
        return found[1] or found[2], key.strip()
    return None, None


def _first(fields: Mapping[str, Any], names: Sequence[str]) -> Any:
    found = next((one for one in (known_id(fields.get(name)) for name in names) if one), None)
    if found is not None:
        return found
    # As other tools write the same names: `Subject_ID`, `Patient Id`.
    plain = {_bare(name) for name in names}
    others = (known_id(value) for name, value in fields.items() if _bare(name) in plain)
    return next((one for one in others if one), None)


@lru_cache(maxsize=1024)
def _bare(name: Any) -> str:
    return re.sub(r"[\s_-]+", "", str(name)).lower()


def _first_path(fields: Mapping[str, Any], images: Sequence[Any]) -> str:
    """The first image's path; of a row without images, what a column holds that is called so."""
    for one in (images, *(fields.get(name) for name in PATH_FIELDS)):
        several = one if isinstance(one, list | tuple) else [one]
        if found := next((path for path in several if isinstance(path, str)), ""):
            return found
    return ""


def _of_path(path: str) -> tuple[str | None, str | None]:
    if found := _PHYSIONET.search(path):
        return found[1], found[2]
    if found := _PHYSIONET_PATIENT.search(path):
        return found[1], None
    if found := _MIMIC_IDS.search(path):
        return found[1], found[2]
    if found := _CHEXPERT.search(path):
        return found[1], f"{found[1]}_{found[2]}"
    if found := _REXGRADIENT.search(path):
        return found[1], found[2]
    return None, None
