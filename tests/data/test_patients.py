"""Every corpus finds the patient where the data tells it, and keeps what its files hold."""

import json
import os
import threading
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from libra_bench.core.errors import InputError
from libra_bench.data.corpora import load
from libra_bench.data.tables import read_metadata

IMAGE = "files/p10/p10000032/s50414267/a.jpg"


def identities(spec: str, **options: Any) -> list[tuple[str | None, str | None]]:
    return [(one.subject_id, one.study_id) for one in load(spec, **options).examples]


def test_evaluation_and_training_files(tmp_path: Path) -> None:
    row = {"question_id": 1, "image": [IMAGE], "text": "q", "reference": "x"}
    (tmp_path / "e.jsonl").write_text(json.dumps(row) + "\n")
    turns = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "x"}]
    training = {"id": 1.0, "image": IMAGE, "conversations": turns}
    (tmp_path / "t.json").write_text(json.dumps([training, {**training, "id": 2, "patient_id": 9}]))
    assert identities(f"jsonl:{tmp_path / 'e.jsonl'}") == [("10000032", "50414267")]
    assert identities(f"jsonl:{tmp_path / 't.json'}") == [
        ("10000032", "50414267"),
        ("9", "50414267"),
    ]


@pytest.mark.parametrize(
    ("key", "row", "expected"),
    [
        ("50414267", {"subject_id": 10000032}, ("10000032", "50414267")),
        ("50414267", {"subject_id": 10000032.0}, ("10000032", "50414267")),
        ("50414267", {"key_image_path": "/p10/p10000032/s1/a.jpg"}, ("10000032", "50414267")),
        (
            "patient64620_study1",
            {"key_image_path": "valid/patient64620/study1/view1_frontal.png"},
            ("patient64620", "patient64620_study1"),
        ),
        ("CXR3030_IM-1405", {}, ("CXR3030", "CXR3030_IM-1405")),
        ("50414267", {}, (None, "50414267")),
        ("study_7", {}, (None, "study_7")),
    ],
)
def test_rexrank(
    tmp_path: Path, key: str, row: dict[str, Any], expected: tuple[str | None, str]
) -> None:
    study = {"section_findings": "x", "section_impression": "y", "key_image_path": "a.png", **row}
    (tmp_path / "x.json").write_text(json.dumps({key: study}))
    assert identities(f"rexrank:{tmp_path / 'x.json'}") == [expected]


def test_images_of_mimic_lie_below_the_root_and_no_other_path_does(tmp_path: Path) -> None:
    from libra_bench.data.images import resolve_image

    (tmp_path / "p10").mkdir()
    (tmp_path / "p10" / "a.jpg").touch()
    paths = ("/p10/a.jpg", "/etc/passwd", "/p10/../../x", "//p10/a.jpg")
    studies = {
        str(n): {"section_findings": "x", "key_image_path": one} for n, one in enumerate(paths)
    }
    (tmp_path / "x.json").write_text(json.dumps(studies))
    images = [one.image[0] for one in load(f"rexrank:{tmp_path / 'x.json'}").examples]
    assert resolve_image(tmp_path, images[0]) == (tmp_path / "p10" / "a.jpg").resolve()
    for image in images[1:]:
        with pytest.raises(InputError, match="leaves the image root"):
            resolve_image(tmp_path, image)


def test_a_parquet_sets_rows_say_their_split_and_patient(tmp_path: Path) -> None:
    def row(number: float, split: str, findings: Any, path: str = "x.png") -> dict[str, Any]:
        image = {"bytes": b"", "path": path}
        return {"id": number, "findings": findings, "image": image, "split": split}

    path = "p10000032/s50414267/a.png"
    rows = [
        row(1.0, "train", ["a"]),
        row(2.0, "test", ["a", "b"], path),
        row(3.0, "val", ["c"]),
    ]
    pd.DataFrame(rows).to_parquet(tmp_path / "all.parquet")
    (example,) = load(f"parquet:{tmp_path / 'all.parquet'}", split="test").examples
    assert (example.question_id, example.reference, example.split) == ("2", "a b", "test")
    assert (example.subject_id, example.study_id) == ("10000032", "50414267")
    everything = load(f"parquet:{tmp_path / 'all.parquet'}").examples
    assert [one.split for one in everything] == ["train", "test", "validate"]
    wrong = [{**row(1.0, "test", "x"), "findings": {"a": 1}}]
    pd.DataFrame(wrong).to_parquet(tmp_path / "wrong.parquet")
    with pytest.raises(InputError, match=r"row 0: findings: a text was expected, not \{'a': 1\}"):
        load(f"parquet:{tmp_path / 'wrong.parquet'}")
    pd.DataFrame(rows[:1]).to_parquet(tmp_path / "train.parquet")
    with pytest.raises(InputError, match="no row with findings and image of split test"):
        load(f"parquet:{tmp_path / 'train.parquet'}", split="test")


OPENI = '<r>{uid}<AbstractText Label="FINDINGS">{a}</AbstractText><AbstractText Label="FINDINGS">'
OPENI += '{b}</AbstractText><AbstractText Label="IMPRESSION">c</AbstractText></r>'


def test_openi_keeps_all_texts_and_refuses_two_of_one_uid(tmp_path: Path) -> None:
    (tmp_path / "1.xml").write_text(OPENI.format(uid='<uId id="CXR1"/>', a="One.", b=" Two.\n"))
    (tmp_path / "2.xml").write_text(OPENI.format(uid="", a="", b="Three."))
    cohort = load(f"openi:{tmp_path}")
    assert {one.question_id: one.reference for one in cohort.examples} == {
        "CXR1": "One. Two.",
        "2": "Three.",
    }
    (whole, *_) = load(f"openi:{tmp_path}", section="report").examples[::-1]
    assert whole.reference == "Findings: One. Two. Impression: c"
    (tmp_path / "3.xml").write_text(OPENI.format(uid='<uId id="CXR1"/>', a="x", b="y"))
    with pytest.raises(InputError, match=r"3\.xml: the report 'CXR1' stands in .*1\.xml already"):
        load(f"openi:{tmp_path}")


def test_openi_leaves_what_macos_writes_beside_reports(tmp_path: Path) -> None:
    (tmp_path / "1.xml").write_text(
        '<r><uId id="CXR1"/><AbstractText Label="FINDINGS">x</AbstractText></r>'
    )
    (tmp_path / "._1.xml").write_bytes(b"\0\5\x16\7Mac OS X")
    assert identities(f"openi:{tmp_path}") == [("CXR1", "CXR1")]


@pytest.mark.parametrize(
    ("asked", "ids"),
    [("validate", ["a", "b", "d"]), ("val", ["a", "b", "d"]), ("test", ["c", "d"])],
)
def test_examples_of_a_split_by_any_of_its_names(
    tmp_path: Path, asked: str, ids: list[str]
) -> None:
    words = {"a": "val", "b": "validate", "c": "TEST", "d": None}
    rows = [{"question_id": one, "text": "q", "split": word} for one, word in words.items()]
    (tmp_path / "e.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    chosen = load(f"jsonl:{tmp_path / 'e.jsonl'}", split=asked).examples
    assert [one.question_id for one in chosen] == ids
    assert {one.split for one in chosen} == {"test" if asked == "test" else "validate", None}


def test_physionets_tables_with_ids_as_floats(tmp_path: Path) -> None:
    path = tmp_path / "metadata.csv"
    path.write_text(
        "dicom_id,subject_id,study_id,ViewPosition,StudyDate,StudyTime\n"
        "a,10000032.0,50414267.0,PA,21800506,213014.531\n"
    )
    (row,) = read_metadata(path).itertuples()
    assert (row.subject_id, row.study_id) == ("10000032", "50414267")


def test_pairing_takes_ids_as_floats() -> None:
    import libra_bench

    frame = pd.DataFrame(
        {
            "dicom_id": ["a", "b"],
            "subject_id": [10000032.0, 10000032.0],
            "study_id": ["1.0", "2.0"],
            "ViewPosition": "PA",
            "StudyDate": [21800506, 21800507],
            "StudyTime": [1.0, 2.0],
        }
    )
    paired = libra_bench.pair(frame, policy="libra")
    assert set(paired["subject_id"]) == {"10000032"} and set(paired["study_id"]) == {"1", "2"}
    frame.loc[1, "subject_id"] = float("nan")
    with pytest.raises(InputError, match="row 1 of the frame: no subject_id"):
        libra_bench.pair(frame, policy="libra")


def test_three_images_are_read_as_libra_does_and_told(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    path.write_text(
        '{"question_id": "b", "text": "x", "reference": "x", "image": ["1", "2", "3"]}\n'
    )
    cohort = load(f"jsonl:{path}")
    assert cohort.examples[0].image == ["1", "2"]
    assert "the first is the current one" in cohort.notes[0] and cohort.notes[0].endswith(": b")


@pytest.mark.parametrize("name", ["findings", "impression", "ground_truth"])
def test_examples_with_another_name_for_the_reference(tmp_path: Path, name: str) -> None:
    path = tmp_path / "e.jsonl"
    path.write_text(json.dumps({"question_id": 1, "text": "q", name: "Clear.", "image": "a"}))
    assert load(f"jsonl:{path}").examples[0].reference == "Clear."


def test_examples_from_a_pipe_lose_nothing(tmp_path: Path) -> None:
    rows = [{"question_id": n, "text": "q" * 200, "reference": "x"} for n in range(200)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(text,))
    writer.start()
    cohort = load(f"jsonl:{pipe}")
    writer.join()
    assert len(cohort.examples) == 200 and cohort.sources == []


def test_whole_reports_where_the_corpus_has_both() -> None:
    examples = load("synthetic", split="test", section="report").examples
    alone = [one for one in examples if not one.extra("findings")]
    # One synthetic report in twelve has an impression only.
    assert 0 < len(alone) < len(examples) / 4
    for one in examples:
        told = [f"{name.capitalize()}: {one.extra(name)}" for name in ("findings", "impression")]
        assert one.reference == (told[1] if one in alone else " ".join(told))
        assert "description of the findings and impression in" in one.text


def test_whole_reports_in_the_words_of_a_site(tmp_path: Path) -> None:
    study = {"section_findings": "x", "section_impression": "y", "key_image_path": "a.png"}
    own = {**study, "report": "FINDINGS: x IMPRESSION: y"}
    (tmp_path / "x.json").write_text(json.dumps({"1": own}))
    (one,) = load(f"rexrank:{tmp_path / 'x.json'}", section="report").examples
    assert one.reference == own["report"]
    (tmp_path / "x.json").write_text(json.dumps({"1": {**own, "section_impression": None}}))
    with pytest.raises(InputError, match="has no impressions"):
        load(f"rexrank:{tmp_path / 'x.json'}", section="report")


def test_whole_reports_where_it_has_not(tmp_path: Path) -> None:
    (tmp_path / "1.xml").write_text(
        '<r><uId id="a"/><AbstractText Label="FINDINGS">x</AbstractText></r>'
    )
    with pytest.raises(InputError, match="--section report: openi has no impressions"):
        load(f"openi:{tmp_path}", section="report")
    (tmp_path / "e.jsonl").write_text('{"question_id": 1, "text": "q"}\n')
    with pytest.raises(InputError, match="holds one text a study"):
        load(f"jsonl:{tmp_path / 'e.jsonl'}", section="report")
