"""A field that says nothing hides none that does; a study's other section never takes its place."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from libra_bench.data.corpora import load
from libra_bench.data.texts import read_pairs

TRUTH, TEXT = "The lungs are clear.", "Lungs clear."
NAN = float("nan")


def jsonl(path: Path, *rows: dict[str, Any]) -> Path:
    lines = (json.dumps({"question_id": place} | row) for place, row in enumerate(rows))
    path.write_text("\n".join(lines) + "\n")
    return path


def references(folder: Path, *rows: dict[str, Any]) -> list[str]:
    """As they are read in a file of their own, and beside the predictions: alike."""
    answers = jsonl(folder / "p.jsonl", *({"text": TEXT} for _ in rows))
    apart, _ = read_pairs(answers, jsonl(folder / "r.jsonl", *rows))
    beside, _ = read_pairs(jsonl(folder / "b.jsonl", *({"prediction": TEXT} | one for one in rows)))
    found = [one.reference for one in apart]
    assert [one.reference for one in beside] == found
    return found


@pytest.mark.parametrize(
    "row",
    [
        {"reference": None, "findings": TRUTH},
        {"reference": NAN, "findings": TRUTH, "impression": "no"},
        {"reference": None, "gt": None, "impression": TRUTH},
        {"reference": None, "findings": None, "impression": TRUTH},
        {"findings": NAN, "section_findings": None, "section_impression": TRUTH},
        {"findings": None, "report": TRUTH},
        {"reference": None, "report": TRUTH},
    ],
)
def test_null_hides_nothing(tmp_path: Path, row: dict[str, Any]) -> None:
    assert references(tmp_path, row) == [TRUTH]


def test_null_among_others(tmp_path: Path) -> None:
    """Row by row a null reference gives way; of two sections one is scored in the whole file."""
    rows = [
        {"reference": TRUTH, "findings": "a"},
        {"reference": None, "findings": "b"},
        {"reference": "", "findings": "c"},
        {"reference": None, "findings": None, "impression": "d"},
    ]
    assert references(tmp_path, *rows) == [TRUTH, "b", "", ""]
    sections = [{"findings": TRUTH, "impression": "a"}, {"findings": None, "impression": "b"}]
    assert references(tmp_path, *sections) == [TRUTH, ""]


def test_a_question_never_stands_in_for_a_null_reference(tmp_path: Path) -> None:
    row = {"reference": None, "text": "Describe the findings.", "image": ["a.png"]}
    assert references(tmp_path, row) == [""]


def test_in_a_table(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"id": [1, 2], "prediction": [TEXT] * 2, "reference": [None] * 2, "findings": [TRUTH, "b"]}
    )
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    for name in ("t.csv", "t.parquet"):
        examples, _ = read_pairs(tmp_path / name)
        assert [one.reference for one in examples] == [TRUTH, "b"]


def test_in_examples(tmp_path: Path) -> None:
    """Libra's evaluation files, in which `text` is the question."""
    rows = [
        {"text": "q", "reference": None, "findings": TRUTH},
        {"text": "q", "reference": NAN, "impression": "b"},
        {"text": "q", "reference": None},
        {"text": "q", "reference": "", "findings": "c"},
    ]
    examples = load(f"jsonl:{jsonl(tmp_path / 'e.jsonl', *rows)}").examples
    assert [one.reference for one in examples] == [TRUTH, "b", "", ""]
