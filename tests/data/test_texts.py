"""Predictions and references from whatever file they stand in."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from libra_bench.core.errors import InputError
from libra_bench.data.texts import read_answers, read_pairs

TRUTH, TEXT = "The lungs are clear.", "Lungs clear."


def jsonl(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def one_pair(*places: Path, **columns: str) -> tuple[str, str]:
    """The prediction and the reference of the only pair."""
    (example,), (prediction,) = read_pairs(*places, columns=columns)  # type: ignore[misc]
    assert example.question_id == prediction.question_id
    return prediction.text, example.reference


@pytest.mark.parametrize(
    "row",
    [
        {"question_id": 1, "text": TEXT, "reference": TRUTH},
        {"question_id": 1, "text": None, "prediction": TEXT, "reference": TRUTH},
        {"question_id": 1, "text": "Describe the findings.", "prediction": TEXT, "findings": TRUTH},
        {"id": 1.0, "generated": TEXT, "ground_truth": TRUTH},
        {"study_id": "1", "candidate": [TEXT], "references": [TRUTH]},
        {"question_id": 1, "prompt": "Describe.", "text": TEXT, "impression": TRUTH},
        {"question_id": 1, "prediction": TEXT, "generated": TEXT, "reference": TRUTH, "gt": None},
        {"question_id": 1, "image": [], "text": TEXT, "reference": TRUTH},
        {"question_id": 1, "image": ["a.png"], "text": TEXT, "model_id": "m", "reference": TRUTH},
        {"case_id": 1, "report": TEXT, "reference": TRUTH},
        {"Study ID": 1, "Prediction": TEXT, "Ground Truth": TRUTH},
        {"ID": 1, "pred": TEXT, "gold": TRUTH},
        {"id": 1, "hyp": TEXT, "ref": TRUTH},
        {"id": 1, "generated_report": TEXT, "ground_truth_report": TRUTH, "Prediction": TEXT},
        {"case_id": 1, "prediction": TEXT, "report": TRUTH},
    ],
)
def test_accepted_names(tmp_path: Path, row: dict[str, Any]) -> None:
    assert one_pair(jsonl(tmp_path / "p.jsonl", row)) == (TEXT, TRUTH)


@pytest.mark.parametrize(
    "row",
    [
        {"reference": TRUTH, "findings": "no", "text": "q", "image": ["a.png"]},
        {"findings": TRUTH, "impression": "no", "text": "q", "image": ["a.png"]},
        {"impression": TRUTH, "text": "q", "image": ["a.png"]},
        {"text": TRUTH},
    ],
)
def test_references_in_the_published_order(tmp_path: Path, row: dict[str, Any]) -> None:
    """`reference`, `findings`, `impression`, `text`: as the published evaluation reads them."""
    predictions = jsonl(tmp_path / "p.jsonl", {"question_id": "1", "text": TEXT})
    references = jsonl(tmp_path / "r.jsonl", {"question_id": 1, **row})
    assert one_pair(predictions, references) == (TEXT, TRUTH)


QUESTION = "Provide a detailed description of the findings in the radiology image."


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prediction": "a", "generated": "b", "reference": "c"}, "`prediction`, `generated`"),
        ({"prediction": "a", "reference": "b", "gt": "c"}, "`reference`, `gt`"),
        ({"text": QUESTION, "reference": "c", "image": ["a.png"]}, "`text` is a question"),
        ({"text": "What is seen?", "reference": "c"}, "`text` is a question"),
        ({"text": "q", "reference": "c", "image": ["a.png"]}, "`text` stands beside `image`"),
        ({"text": "Befund?!", "reference": "c", "image": "a.png"}, "`text` stands beside `image`"),
        ({"reference": "c"}, "a prediction is called `prediction`, "),
        ({"findings": "a", "impression": "b"}, "no prediction beside `findings`, `impression`"),
        ({"report": "a", "section_findings": "b"}, "`report` and `section_findings` are those"),
        ({"prediction": 5, "reference": "c"}, "`prediction`: a text was expected, not "),
        ({"prediction": ["a", "b"], "reference": "c"}, "`prediction`: a text was expected, not "),
        ({"prediction": "a", "reference": "c", "question_id": ["x"]}, "question_id"),
        ({"prediction": "a", "reference": "c", "question_id": 1.5}, "1.5 is no id"),
    ],
)
def test_lines_that_nobody_can_read(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    path = jsonl(tmp_path / "p.jsonl", {"question_id": "x", "prediction": "a", "reference": "b"})
    path.write_text(path.read_text() + json.dumps({"question_id": "y", **row}) + "\n")
    with pytest.raises(InputError) as caught:
        read_pairs(path)
    assert "p.jsonl: line 2 (id " in str(caught.value)
    assert message in str(caught.value)


def test_a_file_is_not_scored_against_itself(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "r.jsonl", {"question_id": 1, "findings": TRUTH})
    (tmp_path / "link.jsonl").symlink_to(path)
    for other in (path, tmp_path / "link.jsonl"):
        with pytest.raises(InputError, match="scored against itself"):
            read_pairs(path, other)


def test_columns_say_that_a_text_beside_an_image_is_the_prediction(tmp_path: Path) -> None:
    row = {"question_id": 1, "image": ["a.png"], "text": TEXT, "reference": TRUTH}
    examples, answers = read_pairs(jsonl(tmp_path / "p.jsonl", row), None, {"prediction": "text"})
    assert (answers[0].text, examples[0].reference) == (TEXT, TRUTH)


@pytest.mark.parametrize("question", [QUESTION, "the chest"])
def test_swapped_files_are_noticed(tmp_path: Path, question: str) -> None:
    examples = jsonl(
        tmp_path / "e.jsonl",
        {"question_id": 1, "image": ["a.png"], "text": question, "reference": TRUTH},
    )
    bare = {"question_id": 1, "prompt": question, "text": TEXT, "model_id": "m"}
    answers = jsonl(tmp_path / "a.jsonl", bare)
    assert one_pair(answers, examples) == (TEXT, TRUTH)
    for answer in (bare, {**bare, "reference": TRUTH}):
        answers = jsonl(tmp_path / "a.jsonl", answer)
        with pytest.raises(InputError, match="swapped"):
            read_pairs(examples, answers)


@pytest.mark.parametrize("name", ["text", "report", "findings", "impression", "output"])
def test_predictions_beside_a_file_of_references(tmp_path: Path, name: str) -> None:
    predictions = jsonl(tmp_path / "p.jsonl", {"question_id": 1, name: TEXT})
    references = jsonl(tmp_path / "r.jsonl", {"question_id": 1, "reference": TRUTH})
    assert one_pair(predictions, references) == (TEXT, TRUTH)


def test_missing_and_empty_texts(tmp_path: Path) -> None:
    rows = [
        {"question_id": 1, "prediction": None, "text": "Describe.", "reference": TRUTH},
        {"question_id": 2, "prediction": float("nan"), "reference": TRUTH},
        {"question_id": 3, "prediction": "", "reference": TRUTH},
        {"question_id": 4, "prediction": TEXT, "reference": None},
    ]
    examples, found = read_pairs(jsonl(tmp_path / "p.jsonl", *rows))
    assert [one.status for one in found] == ["failed", "failed", "ok", "ok"]
    assert found[0].error == "no text" and found[2].text == ""
    assert examples[3].reference == ""


def test_tables(tmp_path: Path) -> None:
    """Line breaks and quotes in cells, other names, floats as ids; nothing and "" differ."""
    rows = 'Study ID,Candidate,Reference\n7.0,"a ""b"",\nc",d\n8.0,,e\n9.0,"",f\n'
    for name, text in (("p.csv", rows), ("p.tsv", rows.replace(",", "\t")), ("p", rows)):
        # In the one with tabs, the comma in the quoted cell is one, too.
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + text.encode())
        examples, found = read_pairs(tmp_path / name)
        assert [one.question_id for one in examples] == ["7", "8", "9"]
        assert found[0].text.replace("\t", ",") == 'a "b",\nc'
        assert [one.status for one in found] == ["ok", "failed", "ok"]
    frame = pd.DataFrame(
        {"id": [1.0, 2.0], "prediction": ["a", None], "reference": ["b", "c"], "age": [5, 6]}
    )
    frame.to_parquet(tmp_path / "p.parquet")
    examples, found = read_pairs(tmp_path / "p.parquet")
    assert [(one.question_id, one.status) for one in found] == [("1", "ok"), ("2", "failed")]
    assert (examples[0].model_extra or {})["age"] == 5


def test_columns_by_other_names(tmp_path: Path) -> None:
    row = {"key": 4, "mine": TEXT, "truth": TRUTH, "text": QUESTION, "who": "p"}
    path = jsonl(tmp_path / "p.jsonl", row)
    named = {"question_id": "key", "prediction": "mine", "reference": "truth", "subject_id": "who"}
    assert one_pair(path, **named) == (TEXT, TRUTH)
    (example,), _ = read_pairs(path, columns=named)
    assert (example.question_id, example.subject_id) == ("4", "p")
    with pytest.raises(InputError, match=r"no column `hers`; there are `key`, `mine`"):
        read_pairs(path, columns={**named, "reference": "hers"})


def test_a_text_a_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\r\n\nthree\n")
    (tmp_path / "b.txt").write_text("1\n2\n3\n")
    examples, found = read_pairs(tmp_path / "a.txt", tmp_path / "b.txt")
    assert [one.text for one in found] == ["one", "", "three"]
    assert [one.reference for one in examples] == ["1", "2", "3"]
    (tmp_path / "b.txt").write_text("1\n2\n")
    with pytest.raises(InputError, match=r"3 predictions in .*a\.txt, 2 references in .*b\.txt"):
        read_pairs(tmp_path / "a.txt", tmp_path / "b.txt")
    with pytest.raises(InputError, match="has no ids"):
        read_pairs(
            tmp_path / "a.txt", jsonl(tmp_path / "r.jsonl", {"question_id": 1, "reference": "x"})
        )
    with pytest.raises(InputError, match="--references FILE"):
        read_pairs(tmp_path / "a.txt")


def test_json_of_several_forms(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps([{"id": 1, "prediction": TEXT, "reference": TRUTH}], indent=1))
    assert one_pair(path) == (TEXT, TRUTH)
    (tmp_path / "r.json").write_text(json.dumps({"1": TRUTH}))
    path.write_text(json.dumps({"1": TEXT}))
    assert one_pair(path, tmp_path / "r.json") == (TEXT, TRUTH)
    path.write_text('{"question_id": 1, "text": "x", "reference": "y"}\n')
    assert one_pair(path) == ("x", "y")
    path.write_text("[1, 2]")
    with pytest.raises(InputError, match="object 0: an object with texts was expected"):
        read_pairs(path)


STUDY = {
    "key_image_path": "/p10/p10000032/s5/a.jpg",
    "section_findings": TRUTH,
    "section_impression": float("nan"),
    "report": f"Findings: {TRUTH} Impression: None.",
}


def test_a_submission_to_rexrank(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps({"5": {**STUDY, "model_prediction": f"Findings: {TEXT}"}}))
    (example,), (prediction,) = read_pairs(path)
    assert (prediction.text, example.reference) == (f"Findings: {TEXT}", TRUTH)
    assert (example.subject_id, example.study_id) == ("10000032", "5")
    assert example.image == ["p10/p10000032/s5/a.jpg"]
    own = (example.model_extra or {})["rexrank"]
    assert own["section_findings"] == TRUTH and "model_prediction" not in own


def test_the_patient_of_a_prediction(tmp_path: Path) -> None:
    """Without a file of references, and where only the predictions know it."""
    row = {"question_id": 1, "prediction": TEXT, "reference": TRUTH}
    for known in ({"subject_id": 7.0}, {"image": "p10/p7/s5/a.jpg"}, {"patient_id": "7"}):
        path = jsonl(tmp_path / "p.jsonl", {**row, **known})
        (example,), _ = read_pairs(path)
        assert example.subject_id == "7"
        (other,), _ = read_pairs(path, jsonl(tmp_path / "r.jsonl", row))
        assert other.subject_id == "7"
    (unknown,), _ = read_pairs(jsonl(tmp_path / "p.jsonl", row))
    assert unknown.subject_id is None


def test_ids_twice_are_named_with_their_places(tmp_path: Path) -> None:
    row = {"prediction": TEXT, "reference": TRUTH}
    path = jsonl(tmp_path / "p.jsonl", {"id": 1, **row}, {"id": "1.0", **row})
    with pytest.raises(InputError, match=r"line 2: duplicate id '1', first on line 1"):
        read_pairs(path)


def test_who_answered(tmp_path: Path) -> None:
    row = {"question_id": 1, "text": TEXT, "model_id": "them"}
    assert read_answers(jsonl(tmp_path / "p.jsonl", row)).model_id == "them"
    row |= {"model_id": ""}
    assert read_answers(jsonl(tmp_path / "theirs.jsonl", row)).model_id == "theirs"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.csv", b"id,prediction\n1,a,b\n", "row 2: 3 fields, not 2"),
        ("p.csv", b"", "no records"),
        ("p.csv", b"id,prediction,prediction\n1,a,b\n", "several columns `prediction`"),
        ("p.csv", b"id,prediction\n1,\xff\n", "not UTF-8 text (byte 16)"),
        ("p.parquet", b"PAR1 and no more", "not a Parquet table"),
        ("p.jsonl", b'{"question_id": 1, "te', "line 1: not JSON"),
        ("p.json", b'{"a": 5}', "study 'a': an object or a text was expected"),
        ("p.txt", b"\xff", "not UTF-8 text"),
    ],
)
def test_damaged_files_are_one_message(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_pairs(tmp_path / name)
    assert message in str(caught.value) and name in str(caught.value)


def test_headers_as_people_write_them(tmp_path: Path) -> None:
    """Cells stay texts whatever the header looks like: an id keeps its zeros, `true` is no bool."""
    for header in ("id, prediction , reference", '"a,b",id,prediction,reference'):
        row = "007,true,true" if header.startswith("id") else "1,007,true,true"
        file = tmp_path / "t.csv"
        file.write_text(f"{header}\n{row}\n")
        (example,), (prediction,) = read_pairs(file)
        assert (example.question_id, prediction.text, example.reference) == ("007", "true", "true")


def test_a_csv_with_semicolons_and_one_with_a_long_cell(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    for separator in ";|":
        row = separator.join(("1", TEXT, TRUTH))
        file.write_text(f"{separator.join(('id', 'prediction', 'reference'))}\n{row}\n")
        assert one_pair(file) == (TEXT, TRUTH)
    text = "clear " * 400_000
    file.write_text(f"id,prediction,reference\n1,{text},{TRUTH}\n2,{TEXT},{TRUTH}\n")
    _, predictions = read_pairs(file)
    assert [one.text for one in predictions] == [text, TEXT]


@pytest.mark.parametrize("names", ["Prediction,prediction", "PREDICTION,Prediction"])
def test_columns_that_differ_in_case_alone(tmp_path: Path, names: str) -> None:
    file = tmp_path / "t.csv"
    file.write_text(f"id,{names},reference\n1,a,b,c\n")
    with pytest.raises(InputError, match="several columns `prediction`"):
        read_pairs(file)


@pytest.mark.parametrize("name", ["PatientID", "Patient ID", "patientId", "subject_id"])
def test_a_tables_name_of_the_patient(tmp_path: Path, name: str) -> None:
    file = tmp_path / "t.csv"
    file.write_text(f"id,prediction,reference,{name}\n1,a,a,5.0\n2,a,a,5\n")
    assert [one.subject_id for one in read_pairs(file)[0]] == ["5", "5"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.json", '{"1": "a", "1": "b"}'),
        ("p.json", '{"1": {"findings": "a", "answer": "a"}, "1": {"findings": "b"}}'),
        ("p.jsonl", '{"id": "x", "prediction": "a", "prediction": "b", "reference": "a"}\n'),
    ],
)
def test_names_that_stand_twice_in_an_object(tmp_path: Path, name: str, text: str) -> None:
    """`json` keeps the last one: a report would be lost without a word."""
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match="stands twice in an object"):
        read_answers(tmp_path / name)


@pytest.mark.parametrize("alone", [True, False])
def test_a_rexrank_file_of_studies_predicts_nothing(tmp_path: Path, alone: bool) -> None:
    """Its findings are the references: read as predictions they would score 100."""
    study = {"section_findings": TRUTH, "context": "Indication: x.", "key_image_path": "a.png"}
    (tmp_path / "r.json").write_text(json.dumps({"1": study, "2": study}))
    with pytest.raises(InputError, match=r"study '1' .*`section_findings` is the study's own"):
        read_answers(tmp_path / "r.json", alone=alone)


@pytest.mark.parametrize(
    "rows",
    [
        '1\t"a b\ta\n2\tc\tc\n3\td"\td\n',
        '1\t"a b\ta\n2\tc"\tc\n',
        '1\ta\t"b\n2\tc\tc"\n',
    ],
)
def test_a_mark_that_is_not_closed_swallows_no_rows_of_a_tsv(tmp_path: Path, rows: str) -> None:
    file = tmp_path / "p.tsv"
    file.write_text("id\tprediction\treference\n" + rows)
    with pytest.raises(InputError, match=r"p\.tsv: row 2: rows stand in one cell"):
        read_pairs(file)


def test_cells_of_a_tsv_may_hold_lines_and_tabs(tmp_path: Path) -> None:
    file = tmp_path / "p.tsv"
    file.write_text('id\tprediction\treference\n1\t"a\nb"\t"a\tb\n"\n2\tc "d"\tc\n')
    _, predictions = read_pairs(file)
    assert [one.text for one in predictions] == ["a\nb", 'c "d"']
    file.write_text('prediction\n"a\nb"\n')
    assert [one.text for one in read_answers(file, alone=False).predictions] == ["a\nb"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.xlsx", b"PK\x03\x04xl/workbook.xml\n", "save its table as .csv"),
        ("p.jsonl.gz", b"\x1f\x8b\x08\0", "packed by gzip; unpack it first"),
        ("p.csv", "id,prediction,reference\n1,a,a\n".encode("utf-16"), "UTF-16 text"),
        ("p.txt", "\ufeffa\n".encode("utf-16-be"), "UTF-16 text"),
    ],
)
def test_files_that_hold_no_text_say_what_they_are(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_answers(tmp_path / name)
