"""RadCliQ against the leaderboard's own rows."""

import csv
from pathlib import Path

import numpy as np
import pytest

from libra_bench.metrics.base import MeanMetric, Output
from libra_bench.metrics.radcliq import V0, V1, RadCliQ


class Fixed(MeanMetric):
    """Answers what it was given."""

    name = "fixed"
    version = "1"
    outputs = (Output("fixed", "Fixed"),)

    def __init__(self, figures: list[float]) -> None:
        self._figures = figures

    def settings(self) -> dict[str, str]:
        return {}

    def each(self, predictions: object, references: object) -> list[float]:
        return self._figures


def parts(radgraph: list[float], bertscore: list[float], semb: list[float]) -> dict[str, Fixed]:
    bleu = Fixed([0.3] * len(radgraph))
    return {
        "radgraph": Fixed(radgraph),
        "bertscore": Fixed(bertscore),
        "semb": Fixed(semb),
        "bleu": bleu,
    }


@pytest.mark.parametrize("table", ["findings_result_iu_xray.csv", "findings_result_mimiccxr.csv"])
def test_the_leaderboards_inverse_follows_from_its_columns(public_data: Path, table: str) -> None:
    rows = list(csv.DictReader((public_data / "rexrank" / table).open()))
    assert rows
    for row in rows:
        columns = [float(row[name]) for name in ("RadGraph", "BertScore", "SembScore")]
        metric = RadCliQ(parts(*([value] for value in columns)))
        report = metric.score(["text"], ["text"])
        inverse = float(metric.aggregate(report)["radcliq_inverse"])
        # The columns are rounded to three decimals.
        assert inverse == pytest.approx(float(row["1/RadCliQ-v1"]), rel=0.006), row["Model Name"]


def test_the_short_form_of_v1() -> None:
    # 2.45014 - 1.24522 RadGraph - 1.65085 BERTScore - 0.99477 SembScore
    figures = np.array([0.2, 0.4, 0.5, 0.9])
    short = 2.45014 - 1.24522 * 0.2 - 1.65085 * 0.4 - 0.99477 * 0.5
    assert float(V1.predict(figures)) == pytest.approx(short, abs=2e-5)


def test_v0_at_the_means_is_its_intercept() -> None:
    assert float(V0.predict(np.array(V0.means))) == pytest.approx(1.641667)


def test_the_mean_is_inverted_not_the_reports() -> None:
    metric = RadCliQ(parts([0.0, 0.5], [0.2, 0.6], [0.3, 0.7]))
    report = metric.score(["a", "b"], ["a", "b"])
    figures = metric.aggregate(report)
    own = report.values["radcliq"]
    assert float(figures["radcliq"]) == pytest.approx(own.mean())
    assert float(figures["radcliq_inverse"]) == pytest.approx(1 / own.mean())
    assert np.isnan(report.values["radcliq_inverse"]).all()


def test_no_inverse_at_or_below_zero() -> None:
    metric = RadCliQ(parts([1.0], [1.0], [1.0]))
    figures = metric.aggregate(metric.score(["a"], ["a"]))
    assert float(figures["radcliq"]) < 0
    assert np.isnan(figures["radcliq_inverse"])


def test_v0_by_hand() -> None:
    """RadGraph .2, BERTScore .4, Semb .5, BLEU .9:
    -.479625 * (.2 - .539838) / .301834 = .540015; -.676217 * (.4 - .631255) / .224670 = .696037;
    -.463666 * (.5 - .771680) / .247503 = .508959; .216586 * (.9 - .460737) / .303367 = .313608;
    with 1.641667 together 3.700285."""
    metric = RadCliQ({**parts([0.2], [0.4], [0.5]), "bleu": Fixed([0.9])})
    report = metric.score(["a"], ["a"])
    assert float(report.values["radcliq_v0"][0]) == pytest.approx(3.700285, abs=2e-6)


def test_what_its_figures_can_be() -> None:
    """Errors have no bounds and fewer are better; an inverse is positive and more is better."""
    ranges = [(one.low, one.high, one.higher_is_better) for one in RadCliQ.outputs]
    without = (-np.inf, np.inf, False)
    assert ranges == [without, without, (0.0, np.inf, True)]
