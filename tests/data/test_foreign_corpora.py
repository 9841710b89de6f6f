"""Layouts of other people's corpora, built here in small."""

import json
from pathlib import Path

import pytest

from libra_bench.core.errors import InputError
from libra_bench.data.corpora import load


def test_r2gen(tmp_path: Path) -> None:
    rows = {
        "train": [],
        "val": [{"id": "x", "image_path": ["x/0.png"], "report": "no"}],
        "test": [
            {
                "id": "CXR9_IM-1",
                "image_path": ["CXR9_IM-1/0.png", "CXR9_IM-1/1.png"],
                "report": "a",
            },
            {
                "id": "d-1",
                "study_id": 50414267,
                "subject_id": 10000032,
                "image_path": ["p10/p10000032/s50414267/d-1.jpg"],
                "report": "b",
            },
        ],
    }
    (tmp_path / "images").mkdir()
    (tmp_path / "annotation.json").write_text(json.dumps(rows))
    spec = f"r2gen:{tmp_path / 'annotation.json'}"
    cohort = load(spec, split="test")
    assert cohort.image_root == (tmp_path / "images").resolve()
    found = [(one.question_id, one.subject_id, one.study_id) for one in cohort.examples]
    assert found == [("CXR9_IM-1", "CXR9", "CXR9_IM-1"), ("d-1", "10000032", "50414267")]
    # The second view of a study is no prior image.
    assert [one.image for one in cohort.examples] == [
        ["CXR9_IM-1/0.png"],
        ["p10/p10000032/s50414267/d-1.jpg"],
    ]
    assert load(spec, split="validate").examples[0].reference == "no"
    for section in ("impression", "report"):
        with pytest.raises(InputError, match="--section"):
            load(spec, section=section)


CHEXPERT = """path_to_image,frontal_lateral,ap_pa,deid_patient_id,section_findings,\
section_impression,section_clinical_history,section_comparison,age,split
train/patient1/study1/view2_lateral.jpg,Lateral,,patient1,"Clear
lungs, no ""effusion"".",Normal.,Cough.,,50.0,train
train/patient1/study1/view1_frontal.jpg,Frontal,PA,patient1,"Clear
lungs, no ""effusion"".",Normal.,Cough.,,50.0,train
valid/patient2/study3/view1_frontal.jpg,Frontal,AP,patient2,,Edema.,,None.,60.0,valid
"""


def test_chexpert_plus(tmp_path: Path) -> None:
    (tmp_path / "df.csv").write_text(CHEXPERT)
    place = tmp_path / "PNG" / "train" / "patient1" / "study1"
    place.mkdir(parents=True)
    (place / "view1_frontal.png").touch()
    spec = f"chexpert-plus:{tmp_path / 'df.csv'}"
    cohort = load(spec)
    (one,) = cohort.examples
    assert one.image == ["train/patient1/study1/view1_frontal.png"]
    assert cohort.image_root == tmp_path.resolve() / "PNG"
    assert (one.subject_id, one.study_id) == ("patient1", "patient1_study1")
    assert (one.view, one.split, one.extra("age")) == ("PA", "train", "50.0")
    assert one.reference == 'Clear\nlungs, no "effusion".'
    assert one.text.endswith("Following clinical context: History: Cough.")
    assert [(gone.id, gone.reason) for gone in cohort.dropped] == [
        ("patient2_study3", "no findings")
    ]
    whole = load(spec, section="report", split="validate").examples
    assert [text.reference for text in whole] == ["Impression: Edema."]
    (tmp_path / "df.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="no column path_to_image, section_findings"):
        load(spec)


def test_rexgradient(tmp_path: Path) -> None:
    (tmp_path / "metadata").mkdir()
    image = "../deid_png/GRD1/GRD2/studies/1/series/2/instances/{}.png"
    study = {
        "PatientID": "GRD1",
        "Indication": "Cough",
        "Comparison": "None",
        "Findings": "Clear.",
        "Impression": "Normal.",
        "ImagePath": [image.format(1), image.format(2)],
        "ImageViewPosition": ["LATERAL", "PA"],
        "PatientSex": "F",
    }
    path = tmp_path / "metadata" / "test_metadata_view_position.json"
    path.write_text(json.dumps({"GRD1_GRD2_1": study, "GRD3_x": {**study, "Findings": "None"}}))
    cohort = load(f"rexgradient:{path}", split="test")
    (one,) = cohort.examples
    assert one.image == [image.format(2).removeprefix("../")]
    assert cohort.image_root == tmp_path.resolve()
    assert (one.subject_id, one.study_id, one.view) == ("GRD1", "GRD1_GRD2_1", "PA")
    assert one.text.endswith("Following clinical context: Indication: Cough")
    assert [gone.id for gone in cohort.dropped] == ["GRD3_x"]
    with pytest.raises(InputError, match="no study of split train to use"):
        load(f"rexgradient:{path}", split="train")


def test_padchest_gr(tmp_path: Path) -> None:
    sentences = [{"sentence_en": "Clear.", "abnormal": False}, {"sentence_en": "No effusion."}]
    study = {"StudyID": "s1", "ImageID": "i.png", "findings": sentences}
    path = tmp_path / "grounded_reports_20240819.json"
    path.write_text(json.dumps([study, {**study, "StudyID": "s2", "findings": []}]))
    cohort = load(f"padchest-gr:{path}")
    assert cohort.examples[0].reference == "Clear. No effusion."
    assert cohort.examples[0].subject_id is None
    assert "master_table.csv is not beside it" in cohort.notes[0]
    table = "StudyID,PatientID,split\ns1,p7,test\ns1,p7,test\ns2,p8,validation\n"
    (tmp_path / "master_table.csv").write_text(table)
    (one,) = load(f"padchest-gr:{path}", split="test").examples
    assert (one.subject_id, one.study_id, one.split) == ("p7", "s1", "test")


@pytest.mark.parametrize("kind", ["r2gen", "rexgradient", "padchest-gr", "chexpert-plus"])
@pytest.mark.parametrize("content", ["", "[]", "{}", "[1]", '{"a": 1}', "[" * 9999, "null"])
def test_other_files_are_one_message(tmp_path: Path, kind: str, content: str) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(InputError) as caught:
        load(f"{kind}:{tmp_path / 'x.json'}")
    assert "x.json" in str(caught.value)
