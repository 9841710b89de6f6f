"""A limit below 1 is refused wherever it is said: read from the end it would drop the last."""

from pathlib import Path

import pytest

from libra_bench.core.errors import InputError
from libra_bench.data.corpora import load
from libra_bench.generation.factory import SystemSettings
from libra_bench.pipeline import Settings, evaluate
from libra_bench.runs.scoring import ScoringSettings


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one(tmp_path: Path, limit: int) -> None:
    with pytest.raises(InputError, match=f"limit {limit}: at least 1"):
        load("synthetic", limit=limit)
    texts = tmp_path / "theirs.jsonl"
    texts.write_text(
        '{"question_id": "1", "text": "Clear lungs.", "reference": "Lungs are clear."}\n'
        '{"question_id": "2", "text": "Clear lungs.", "reference": "Lungs are clear."}\n'
    )
    system = SystemSettings(model="", predictions=texts)
    settings = Settings(system, ScoringSettings(metrics=("bleu",)), data="", limit=limit)
    with pytest.raises(InputError, match=f"limit {limit}: at least 1"):
        evaluate(settings, tmp_path / "run")
    assert not (tmp_path / "run").exists()
