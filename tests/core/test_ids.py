"""Ids have one form, and the patient is found wherever the data tells it."""

from typing import Any

import pytest

from libra_bench.core.ids import as_id, known_id, whose
from libra_bench.core.records import Example, Prediction


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (10000032, "10000032"),
        (10000032.0, "10000032"),
        ("10000032.0", "10000032"),
        ("10000032.00", "10000032"),
        (" s5 ", "s5"),
        ("1.5", "1.5"),
        ("v1.0", "v1.0"),
        (10**30, "1" + "0" * 30),
        (0, "0"),
        (None, None),
        (float("nan"), None),
    ],
)
def test_one_form(given: Any, text: str | None) -> None:
    assert as_id(given) == text


@pytest.mark.parametrize("given", [1.5, float("inf"), 12345678901234567890.0])
def test_floats_that_can_be_no_id(given: float) -> None:
    with pytest.raises(ValueError, match=r"is no id|lost its last digits"):
        as_id(given)


@pytest.mark.parametrize("given", ["", "nan", "None", "NULL", "<NA>"])
def test_words_for_nothing(given: str) -> None:
    assert known_id(given) is None


@pytest.mark.parametrize(
    ("path", "subject", "study"),
    [
        ("files/p10/p10000032/s50414267/a.jpg", "10000032", "50414267"),
        ("/p10/p10046166/s50051329/a.jpg", "10046166", "50051329"),
        ("p10000032/s50414267.txt", "10000032", "50414267"),
        ("files\\p10\\p10000032\\s50414267\\a.jpg", "10000032", "50414267"),
        ("files/p10/p10000032/a.jpg", "10000032", None),
        ("train/patient42142/study5/view1_frontal.jpg", "patient42142", "patient42142_study5"),
        ("deid_png/GRDN1/GRDN2/studies/1.2/series/3/instances/4.png", "GRDN1", "GRDN2"),
        ("mimic/10000032/50414267/a.jpg", "10000032", "50414267"),
        ("p10000032_s50414267_a.png", "10000032", "50414267"),
        ("10000032-50414267.png", "10000032", "50414267"),
        ("20000032/50414267/a.jpg", None, None),
        ("110000032/50414267/a.jpg", None, None),
        ("p10/a.jpg", None, None),
        ("images/step10000032/x.png", None, None),
    ],
)
def test_patient_and_study_in_a_path(path: str, subject: str | None, study: str | None) -> None:
    assert whose({}, [path]) == (subject, study)
    example = Example(question_id="1", text="q", image=[path])
    assert (example.subject_id, example.study_id) == (subject, study)


def test_a_field_comes_before_the_path() -> None:
    path = "p10000032/s50414267/a.jpg"
    assert whose({"subject_id": 7.0}, [path]) == ("7", "50414267")
    assert whose({"patient_id": "A", "study_id": float("nan")}, [path]) == ("A", "50414267")
    assert whose({"subject_id": "nan"}, [path]) == ("10000032", "50414267")


def test_records_take_what_people_write() -> None:
    example = Example.model_validate(
        {"question_id": 1.0, "text": "q", "view": ["PA"], "split": float("nan"), "image": None}
    )
    assert (example.question_id, example.view, example.split) == ("1", "PA", None)
    made = Prediction.model_validate(
        {"question_id": 1, "metadata": "greedy", "seconds": float("inf"), "model_id": None}
    )
    assert (made.model_extra or {})["metadata"] == {"note": "greedy"}
    assert (made.seconds, made.model_id) == (None, "")


@pytest.mark.parametrize(
    ("fields", "subject", "study"),
    [
        ({"Subject_ID": 7.0, "Study ID": "s5"}, "7", "s5"),
        ({"patient id": "7"}, "7", None),
        ({"SUBJECT_ID": "", "image_path": "p10/p10000032/s50414267/a.jpg"}, "10000032", "50414267"),
        ({"path": "train/patient2/study5/view1.jpg"}, "patient2", "patient2_study5"),
        ({"patient": "45 year old man"}, None, None),
        ({"image_path": ["p10/p10000032/s50414267/a.jpg", "b.jpg"]}, "10000032", "50414267"),
        ({"images": ["train/patient2/study5/view1.jpg"]}, "patient2", "patient2_study5"),
        ({"image_path": [None], "path": "p10/p10000032/s5/a.jpg"}, "10000032", "5"),
        ({"question_id": "p10000032_s50414267"}, "10000032", "50414267"),
        ({"id": "patient64620_study1"}, "patient64620", "patient64620_study1"),
        ({"uid": "CXR3030_IM-1405-1001"}, "CXR3030", "CXR3030_IM-1405-1001"),
        ({"id": "patient64620_study1", "subject_id": 7}, "7", None),
        # What stands before a `_` of any other id is the same for all of them.
        ({"id": "study_1"}, None, None),
        ({"question_id": "test_10000032"}, None, None),
    ],
)
def test_patient_and_study_in_other_fields(
    fields: dict[str, Any], subject: str | None, study: str | None
) -> None:
    assert whose(fields) == (subject, study)


@pytest.mark.parametrize("nothing", [None, float("nan"), ""])
def test_a_prior_image_that_is_nothing_is_none(nothing: Any) -> None:
    example = Example(question_id="1", text="q", image=["a.png", nothing])
    assert example.image == ["a.png"] and not example.has_prior
    with pytest.raises(ValueError, match="image"):
        Example(question_id="1", text="q", image=[None, "a.png"])
