"""What every metric with a model answers to texts that break things, on tiny random models."""

import sys
from pathlib import Path

import numpy as np
import pytest

from libra_bench.metrics import registry
from libra_bench.metrics.base import Metric

pytest.importorskip("spacy")

REFERENCE = "Small left pleural effusion. No pneumothorax."
HARD = {
    "empty": ("", REFERENCE),
    "blank": (" \n", REFERENCE),
    "punctuation": ("...!?", REFERENCE),
    "another script": ("心脏正常 без изменений", REFERENCE),
    "long": ("Small left effusion. " * 3_000, REFERENCE),
    "one long word": ("x" * 100_000, REFERENCE),
    "nul": ("No\0 effusion.\0", REFERENCE),
    "other planes": ("\U0001fac1 No \U00010ffff\u200d\ufeff\u202eeffusion.", REFERENCE),
    "half a character": ("No \ud800 effusion.", REFERENCE),
    "strange line ends": ("No\u2028effusion.\x85\x0c seen\r\n", REFERENCE),
    "reference of punctuation": ("No effusion.", "..."),
    "reference in another script": ("No effusion.", "心脏正常"),
    "failed": (None, REFERENCE),
    "no reference": ("No effusion.", None),
    "blank reference": ("No effusion.", "  "),
    "equal": (REFERENCE, REFERENCE),
}
UNSCORED = {"failed", "no reference", "blank reference"}
METRICS = [
    *(("libra", name) for name in ("bertscore", "ratescore", "radgraph", "chexbert", "semb")),
    *(("rexrank", name) for name in ("bertscore", "radgraph", "radcliq")),
]


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
    try:
        import metric_models as models
    finally:
        sys.path.pop(0)
    folder, texts = tmp_path_factory.mktemp("models"), [REFERENCE, "No effusion is seen."]
    ner, encoder = models.write_ratescore(folder / "ratescore", texts, models.TINY, spread=0.3)
    archive = models.write_radgraph(folder / "radgraph", texts, models.TINY, spread=0.1)
    checkpoint, bert = models.write_chexbert(folder / "chexbert", texts, models.TINY)
    plain = models.write_encoder(folder / "bertscore", texts, models.TINY)
    return {
        "ratescore": {"ner": str(ner), "encoder": str(encoder)},
        "radgraph": {"archive": str(archive)},
        "chexbert": {"checkpoint": str(checkpoint), "encoder": str(bert)},
        "bertscore": {"model": str(plain), "layer": "2", "baseline": "none"},
    }


@pytest.fixture(params=METRICS, ids="/".join)
def metric(request: pytest.FixtureRequest, options: dict[str, dict[str, str]]) -> Metric:
    profile, name = request.param
    made = registry.create(name, profile, options)
    made.check()
    return made


def test_each_hard_text_has_an_answer_in_its_own_row(metric: Metric) -> None:
    predictions, references = map(list, zip(*HARD.values(), strict=True))
    report = metric.score(predictions, references)
    scored = np.array([name not in UNSCORED for name in HARD])
    np.testing.assert_array_equal(report.scored, scored)
    first = metric.outputs[0].name
    values = report.values[first]
    np.testing.assert_array_equal(np.isnan(values), ~scored)
    assert np.isfinite(list(metric.aggregate(report).values())).all()
    # The same alone and turned round: no pair depends on another or on its place.
    turned = metric.score(predictions[::-1], references[::-1]).values[first][::-1]
    np.testing.assert_allclose(values, turned, atol=1e-4)
    for place in (0, len(HARD) - 1):
        alone = metric.score([predictions[place]], [references[place]])
        assert alone.values[first][0] == pytest.approx(values[place], abs=1e-4)
    known = dict(zip(HARD, values, strict=True))
    empty = {"bertscore": 0, "ratescore": 50, "radgraph": 0}
    if metric.name in empty:
        assert known["empty"] == empty[metric.name]


def test_equal_reports_agree_and_one_report_has_a_figure(metric: Metric) -> None:
    twice = metric.score([REFERENCE] * 3, [REFERENCE] * 3)
    one = metric.aggregate(metric.score([REFERENCE], [REFERENCE]))
    for name, figure in metric.aggregate(twice).items():
        assert figure == pytest.approx(one[name], nan_ok=True)
    if metric.name in ("bertscore", "semb"):
        assert one[metric.name] == pytest.approx(100, abs=1e-3)


def test_nothing_scored_is_nan(metric: Metric) -> None:
    figures = metric.aggregate(metric.score([None, "x"], ["x", ""]))
    assert np.isnan(list(figures.values())).all()
