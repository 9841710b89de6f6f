"""A small scored run, written by the contract of the run folder."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

N = 6
SCRIPT = "Heart size <script>alert('x')</script> is stable & unchanged."
REFERENCES = [
    "Stable cardiomegaly. Improved left effusion.",
    "No acute process. Lungs are clear.",
    SCRIPT,
    "New right lower lobe consolidation with a small effusion.",
    "Lungs are clear. Unchanged granuloma in the left apex.",
    "Endotracheal tube removed.",
]
PREDICTIONS = [
    "Stable cardiomegaly. Worsening left effusion.",
    "No acute process. Lungs are clear.",
    SCRIPT,
    "Small pleural effusion, new.",
    "Unrelated.",
    "",
]
SCORES = [62.5, 100.0, 90.0, 30.0, 0.0, float("nan")]


def figure(metric: str, title: str, value: float | None, **more: Any) -> dict[str, Any]:
    bounds = {"low": None, "high": None}
    if value is not None:
        bounds = {"low": value - 4.25, "high": value + 3.5}
    return {
        "metric": metric,
        "title": title,
        "value": value,
        **bounds,
        "level": 0.95,
        "n": 5,
        "unscored": 1,
        "higher_is_better": True,
        "signature": f"metric:{metric}|version:1|n:5",
        **more,
    }


def summary() -> dict[str, Any]:
    return {
        "format": 1,
        "run": {
            "id": "2026-01-01-00000000",
            "model": "libra-tiny",
            "model_id": "libra-tiny@0123",
            "trained": False,
            "data": "synthetic",
            "cohort": "synthetic",
            "split": "test",
            "section": "findings",
            "prior_policy": "libra",
            "protocol": {"name": "libra-paper", "signature": "num_beams=10"},
            "profile": "libra",
            "engine": "reference",
            "device": "cpu",
            "created": "2026-01-01T00:00:00+00:00",
            "status": "finished",
        },
        "n": N,
        "generated": 5,
        "failed": 1,
        "with_prior": 3,
        "seconds": 12.5,
        "reports_per_second": 0.4,
        "metrics": {
            "bleu1": figure("bleu", "BLEU-1", 51.234),
            "rouge_l": figure("rouge_l", "ROUGE-L", 56.5),
            "temporal_f1": figure("temporal_f1", "Temporal F1", None, n=0, unscored=6),
            "radcliq": figure("radcliq", "RadCliQ-v1", 1.25, higher_is_better=False),
        },
        "not_scored": {"meteor": {"reason": "WordNet is missing", "mend": "apt-get install w & x"}},
        "subgroups": [
            {
                "column": "has_prior",
                "value": value,
                "n": 3,
                "metrics": {"bleu1": {"value": score, "low": score - 5, "high": score + 5}},
            }
            for value, score in (("True", 48.0), ("False", 54.0))
        ],
        "notes": ["1 example has an empty reference"],
    }


def write_run(path: Path, content: dict[str, Any]) -> Path:
    path.mkdir()
    images = path.parent / "images"
    images.mkdir(exist_ok=True)
    for name, grey in (("now.png", 90), ("before.png", 160)):
        Image.new("L", (64, 48), grey).save(images / name)
    (path / "manifest.json").write_text(
        json.dumps(
            {
                "format": 1,
                "id": content["run"]["id"],
                "status": "finished",
                "arguments": {"limit": None, "metrics": ["bleu", "rouge_l"]},
                "resolved": {"model": "libra-tiny", "image_root": str(images)},
                "versions": {"libra_bench": "0.1.0"},
                "hashes": {"examples": "abc", "data": {"reports.jsonl": "def"}},
                "seeds": {"scoring": 0},
            }
        )
    )
    prior = ["now.png", "before.png"]
    examples = [
        {
            "question_id": f"q{row}",
            "image": prior if row < 3 else ["now.png"],
            "text": "Describe the findings.",
            "reference": reference,
            "subject_id": f"p{row}",
            "study_id": f"s{row}",
            "view": "AP",
        }
        for row, reference in enumerate(REFERENCES)
    ]
    predictions = [
        {"question_id": f"q{row}", "text": text, "status": "ok"}
        for row, text in enumerate(PREDICTIONS)
    ]
    predictions[5] |= {"status": "failed", "error": "image <b>q5.png</b> cannot be read"}
    for name, records in (("examples", examples), ("predictions", predictions)):
        lines = "".join(json.dumps(record) + "\n" for record in records)
        (path / f"{name}.jsonl").write_text(lines)
    ids = [f"q{row}" for row in range(N)]
    pd.DataFrame(
        {
            "question_id": ids,
            "has_prior": [row < 3 for row in range(N)],
            "status": ["ok"] * 5 + ["failed"],
            "words": [len(text.split()) for text in PREDICTIONS],
            "bleu1": SCORES,
            "rouge_l": SCORES,
            "temporal_f1": [float("nan")] * N,
            "radcliq": [1.0, 0.5, 1.5, 2.0, 1.25, float("nan")],
        }
    ).to_parquet(path / "scores.parquet", index=False)
    (path / "summary.json").write_text(json.dumps(content))
    return path


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Write a run folder; `change` edits its summary first."""

    def make(change: Callable[[dict[str, Any]], None] = lambda content: None) -> Path:
        content = summary()
        change(content)
        return write_run(tmp_path / "run", content)

    return make


@pytest.fixture
def as_published() -> Callable[[dict[str, Any]], None]:
    """Turns a summary into one of a trained run under the published conditions."""

    def change(content: dict[str, Any]) -> None:
        content["run"] |= {"trained": True, "cohort": "mimic-cxr", "data": "mimic-cxr:/data"}
        content["n"] = 2461

    return change
