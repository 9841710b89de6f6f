"""Figures of the coco profile worked out on paper, without Java: tokens are what blanks part."""

import math

import numpy as np
import pytest

from libra_bench.metrics import cider, coco_bleu
from libra_bench.metrics.cider import Cider
from libra_bench.metrics.coco_bleu import CocoBleu
from libra_bench.metrics.coco_meteor import CocoMeteor, _escaped


@pytest.fixture(autouse=True)
def _blanks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (cider, coco_bleu):
        monkeypatch.setattr(module, "ptb_tokeniser", lambda: list)
        monkeypatch.setattr(module, "version", lambda: "0")


def test_cider() -> None:
    """References "a b" and "a c". a is in both, so it weighs nothing; b, c, "a b" and "a c" are in
    one of two and weigh L = log 2, as does what no reference holds."""
    references = ["a b", "a c", "a b", "a c"][:2]
    found = Cider().each(["a b", "c"], references)
    # Equal: cosines of 1 for n = 1 and 2, no n-grams of 3 and 4: (1 + 1 + 0 + 0) / 4.
    # "c": a cosine of 1 for n = 1; no bigram where the reference has one: exp(-1 / 72).
    assert found == pytest.approx([0.5, math.exp(-1 / 72) / 4])
    # "c c": the count 2 is clipped to 1: L * L / (2 L * L); one bigram, not the reference's.
    # "z b": z is unknown and weighs L too: L * L / (sqrt(2) L * L).
    found = Cider().each(["z b", "c c"], references)
    assert found == pytest.approx([1 / math.sqrt(2) / 4, 0.5 / 4])
    metric = Cider()
    report = metric.score(["a b", "c"], references)
    assert report.values["cider"] == pytest.approx([5, 10 * math.exp(-1 / 72) / 4])
    mean = float(metric.aggregate(report)["cider"])
    assert mean == pytest.approx((5 + 2.5 * math.exp(-1 / 72)) / 2)


def test_bleu() -> None:
    """ "a b c" against "a b d e": 2 of 3 words, 1 of 2 pairs, shorter by 1 of 4."""
    figures = CocoBleu().score(["a b c"], ["a b d e"]).values
    penalty = math.exp(1 - 4 / 3)
    assert float(figures["bleu1"][0]) == pytest.approx(100 * penalty * 2 / 3)
    assert float(figures["bleu2"][0]) == pytest.approx(100 * penalty * math.sqrt(2 / 3 * 1 / 2))
    # A longer prediction pays nothing: 2 of 5 words.
    longer = CocoBleu().score(["a b x y z"], ["a b d e"]).values
    assert float(longer["bleu1"][0]) == pytest.approx(40)


def counts(**given: float) -> np.ndarray:
    row = np.zeros(len(CocoMeteor.statistics))
    for name, value in {"reports": 1, **given}.items():
        row[CocoMeteor.statistics.index(name)] = value
    return row


COUNTS = {
    "prediction_length": 10,
    "reference_length": 8,
    "prediction_function_words": 4,
    "reference_function_words": 3,
    "exact_prediction_content": 4,
    "exact_reference_content": 4,
    "exact_prediction_function": 1,
    "exact_reference_function": 1,
    "stem_prediction_content": 1,
    "stem_reference_content": 1,
    "chunks": 2,
    "prediction_matches": 6,
    "reference_matches": 6,
}


def meteor(**changes: float) -> float:
    return float(CocoMeteor().finalise(counts(**(COUNTS | changes)))["meteor"])


def expected(content: float, other: float, chunks: float = 2) -> float:
    """Of matches that weigh the same on both sides."""
    # Content words weigh .75 and function words .25: 6 and 4 of 10 words; 5 and 3 of 8.
    found = 0.75 * content + 0.25 * other
    precision, recall = found / (0.75 * 6 + 0.25 * 4), found / (0.75 * 5 + 0.25 * 3)
    mean = precision * recall / (0.85 * precision + 0.15 * recall)
    return 100 * mean * (1 - 0.6 * (chunks / 6) ** 0.2)


def test_meteor_from_its_counts() -> None:
    """Exact 1, stem .6, synonym .8, paraphrase .6: 4 and 1 content words weigh 4.6."""
    assert meteor() == pytest.approx(expected(4.6, 1))
    assert meteor(chunks=3) == pytest.approx(expected(4.6, 1, 3))
    sides = ("prediction", "reference")
    synonym = {f"synonym_{side}_content": 1.0 for side in sides}
    assert meteor(**synonym) == pytest.approx(expected(5.4, 1))
    paraphrase = {f"paraphrase_{side}_function": 1.0 for side in sides}
    assert meteor(**paraphrase) == pytest.approx(expected(4.6, 1.6))
    # Precision and recall are no equals: one match more of the reference, of 4.5, or of the
    # prediction, of 5.5.
    assert meteor(exact_reference_content=5) > meteor(exact_prediction_content=5)
    assert meteor(prediction_matches=0, reference_matches=0) == 0


def test_meteor_of_a_corpus_is_that_of_its_sums() -> None:
    rows = np.stack([counts(**COUNTS), counts(**(COUNTS | {"chunks": 4}))])
    both = float(CocoMeteor().finalise(rows.sum(axis=0))["meteor"])
    assert both == pytest.approx(expected(4.6, 1, 3))
    assert np.isnan(CocoMeteor().finalise(np.zeros(len(CocoMeteor.statistics)))["meteor"])


def test_the_programs_separator_is_taken_out() -> None:
    assert _escaped("no ||| effusion") == "no effusion"
