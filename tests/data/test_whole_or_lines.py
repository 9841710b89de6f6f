"""JSON over several lines where lines were expected, and lines that only begin as JSON does."""

import json
from pathlib import Path

import pytest

from libra_bench.core.errors import InputError
from libra_bench.data.corpora import load
from libra_bench.data.texts import read_answers, read_pairs

RECORD = {"question_id": "x", "prediction": "a", "reference": "b"}


@pytest.mark.parametrize("name", ["p.json", "p"])
@pytest.mark.parametrize("indent", [None, 1])
def test_one_record_is_one_record(tmp_path: Path, name: str, indent: int | None) -> None:
    """Not three texts by the ids `question_id`, `prediction` and `reference`."""
    (tmp_path / name).write_text(json.dumps(RECORD, indent=indent))
    (example,), (prediction,) = read_pairs(tmp_path / name)
    assert (example.question_id, prediction.text, example.reference) == ("x", "a", "b")


def test_texts_by_their_ids_are_no_record(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(json.dumps({"1": "a", "2": "b"}, indent=1))
    found = read_answers(tmp_path / "p.json").predictions
    assert [(one.question_id, one.text) for one in found] == [("1", "a"), ("2", "b")]


@pytest.mark.parametrize(
    ("value", "told"),
    [(RECORD, "is one JSON object over several lines"), ([RECORD], "is a JSON list")],
)
def test_one_value_where_lines_were_expected(tmp_path: Path, value: object, told: str) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps(value, indent=1))
    with pytest.raises(InputError, match=rf"p\.jsonl: {told}; JSONL is an object a line"):
        read_pairs(path)
    if value is RECORD:  # A list is Libra's training JSON there.
        with pytest.raises(InputError, match=rf"p\.jsonl: {told}; JSONL is an object a line"):
            load(f"jsonl:{path}")


def test_a_damaged_line_is_still_named(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps(RECORD) + '\n{"question_id": 2,\n')
    for read in (read_pairs, lambda path: load(f"jsonl:{path}")):
        with pytest.raises(InputError, match="line 2: not JSON"):
            read(path)
    path.write_text("{}\n")
    with pytest.raises(InputError, match=r"line 1 .*: no prediction"):
        read_pairs(path)


@pytest.mark.parametrize("text", ["[unclear] Lungs clear.\n[1] Heart.\n", '["a"]\n["b"]\n', "{a}"])
def test_lines_that_begin_as_json_does(tmp_path: Path, text: str) -> None:
    path = tmp_path / "theirs"
    path.write_text(text)
    with pytest.raises(InputError, match=r"not JSON \(.*; it begins as JSON does: .* called .txt"):
        read_answers(path)
    path = path.rename(tmp_path / "theirs.txt")
    assert [one.text for one in read_answers(path).predictions] == text.splitlines()
