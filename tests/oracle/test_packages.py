"""RaTEScore and RadGraph against their packages, asked now: `tox -e oracle`."""

import json
import os
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
UPSTREAM = os.environ.get("LIBRA_BENCH_UPSTREAM")

pytestmark = pytest.mark.skipif(
    UPSTREAM is None,
    reason="LIBRA_BENCH_UPSTREAM names no Python with the published packages; tox -e oracle does",
)

OWN = [
    "Heart size is normal. No pleural effusion or pneumothorax.",
    "FINDINGS:\n\n1. Small LEFT effusion, increased.\n2. Stable 1.5 cm nodule (right upper lobe).",
    "Dr. Smith was told at 5 p.m. Interval removal of the E.T. tube; lines unchanged.",
    "no acute process.no edema",
    "Low lung volumes?  Atelectasis -- likely; 50% pneumothorax!",
    "x",
]


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """Sentences of our own, and the reports of the public data where they are."""
    data = Path(os.environ.get("LIBRA_BENCH_DATA", ROOT.parent / "shared" / "data"))
    file = data / "rexrank" / "ReXRank_IUXray_valid.json"
    studies = json.loads(file.read_text()).values() if file.is_file() else []
    fields = ("section_findings", "section_impression")
    reports = [study.get(field) for study in studies for field in fields]
    return OWN + [text for text in reports if isinstance(text, str) and text][:300]


@pytest.fixture
def ask(tmp_path: Path) -> Any:
    """Ask a package about pairs of texts, with the models in `tmp_path`."""

    def run(name: str, predictions: list[str], references: list[str]) -> Any:
        pairs = tmp_path / "pairs.json"
        pairs.write_text(json.dumps({"predictions": predictions, "references": references}))
        script = ROOT / "benchmarks" / "upstream_metrics.py"
        done = subprocess.run(
            [str(UPSTREAM), str(script), name, str(tmp_path), str(pairs)],
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": ""},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return json.loads(done.stdout.splitlines()[-1])["scores"]

    return run


@pytest.fixture(autouse=True)
def _models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))


def test_sentences(ask: Any, texts: list[str]) -> None:
    from libra_bench.metrics.sentences.split import sentences

    published, _ = ask("sentences", texts, [])
    for text, expected in zip(texts, published, strict=True):
        assert sentences(text) == [sentence for sentence in expected if sentence], text


def test_ratescore(ask: Any, texts: list[str], tmp_path: Path) -> None:
    from metric_models import TINY, write_ratescore

    from libra_bench.metrics.ratescore.metric import RaTEScore

    ner, encoder = write_ratescore(tmp_path, texts, TINY, spread=0.3)
    # A text of fewer than three characters would shift the package's pairs.
    pairs = [pair for pair in pairwise(texts) if min(map(len, pair)) > 2]
    predictions, references = map(list, zip(*pairs, strict=True))
    scores = RaTEScore(str(ner), str(encoder)).each(predictions, references)
    published = ask("ratescore", predictions, references)
    assert len(published) == len(scores)
    equal = [abs(one - other) < 1e-5 for one, other in zip(scores, published, strict=True)]
    # The package is of two minds about an entity that the other side names with two kinds.
    assert sum(equal) >= 0.75 * len(equal)


@pytest.mark.parametrize("dataset", ["radgraph-xl", "radgraph", "modern-radgraph-xl"])
def test_radgraph(ask: Any, texts: list[str], tmp_path: Path, dataset: str) -> None:
    from metric_models import TINY, write_radgraph

    from libra_bench.metrics.radgraph.annotation import Annotator
    from libra_bench.metrics.radgraph.metric import RadGraph

    def entities(archive: str) -> list[dict]:
        found = Annotator(archive, "").read(texts[:50])
        return [entity for one in found for entity in one["entities"].values()]

    # Random weights see everything or nothing; some see entities and relations here and there.
    for seed in range(50):
        archive = str(write_radgraph(tmp_path, texts, TINY, 0.1, seed, dataset))
        seen = entities(archive)
        if 100 < len(seen) < 5000 and any(entity["relations"] for entity in seen):
            break
    else:
        pytest.fail("no random archive sees entities and relations")
    # One that the encoder cannot read at once.
    texts = [*texts, " ".join(texts)[:8000], texts[0]]
    predictions, references = texts[:-1], texts[1:]
    *published, hypotheses, truths = ask("radgraph", predictions, references)
    for side, expected in ((predictions, hypotheses), (references, truths)):
        found = json.loads(json.dumps(Annotator(archive, "").read(side)))
        assert found == [{key: one[key] for key in ("text", "entities")} for one in expected]
    report = RadGraph(archive, lowercase="false").score(predictions, references)
    for name, level in zip(("rg_e", "rg_er", "rg_bar_er"), published, strict=True):
        assert report.values[name] / 100 == pytest.approx(level, abs=1e-9)
