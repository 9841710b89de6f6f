"""RadCliQ: a prediction of how many errors radiologists would count, from four other metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

import numpy as np

from libra_bench.core.errors import MissingResourceError
from libra_bench.metrics.base import Metric, Output, PerReport
from libra_bench.stats.clusters import Floats


class Model(NamedTuple):
    """A linear model over standardised figures, in the order of `PARTS`."""

    intercept: float
    means: tuple[float, ...]
    scales: tuple[float, ...]
    coefficients: tuple[float, ...]

    def predict(self, figures: Floats) -> Floats:
        """[...] from figures [..., 4] on their 0-1 scale."""
        standardised = (figures - np.array(self.means)) / np.array(self.scales)
        return np.asarray(self.intercept + standardised @ np.array(self.coefficients))


PARTS = ("radgraph", "bertscore", "semb", "bleu")

# rajpurkarlab/CXR-Report-Metric, CXRMetric/run_eval.py.
V0 = Model(
    intercept=1.641667,
    means=(0.539838, 0.631255, 0.771680, 0.460737),
    scales=(0.301834, 0.224670, 0.247503, 0.303367),
    coefficients=(-0.479625, -0.676217, -0.463666, 0.216586),
)
V1 = Model(
    intercept=2.46655256e-10,
    means=(0.53792312, 0.61757256, 0.76479421, 0.44738335),
    scales=(0.30282584, 0.22430938, 0.25394391, 0.29892717),
    coefficients=(-0.377083683, -0.370300100, -0.252616218, 4.31504841e-12),
)


class RadCliQ(Metric):
    """Mean RadCliQ-v1 and -v0 (Yu et al., 2023); lower is better.

    The leaderboard prints the inverse of the mean of RadCliQ-v1, `1/RadCliQ-v1`. It explodes where
    the mean comes near 0, which a good model can reach, and has no meaning below: it is empty
    there. The inverse of a single report's figure is never formed.

    Args:
        parts: the four metrics of `PARTS`, as the profile has them.
    """

    name: ClassVar[str] = "radcliq"
    version: ClassVar[str] = "2"
    outputs: ClassVar[tuple[Output, ...]] = (
        Output("radcliq", "RadCliQ-v1", higher_is_better=False, low=-np.inf, high=np.inf),
        Output("radcliq_v0", "RadCliQ-v0", higher_is_better=False, low=-np.inf, high=np.inf),
        Output("radcliq_inverse", "1/RadCliQ-v1", low=0.0, high=np.inf),
    )
    statistics: ClassVar[tuple[str, ...]] = ("v1", "v0", "count")
    requires: ClassVar[tuple[str, ...]] = ("weights",)

    def __init__(self, parts: Mapping[str, Metric]) -> None:
        self._parts = {name: parts[name] for name in PARTS}

    def missing(self) -> list[MissingResourceError]:
        return [gap for part in self._parts.values() for gap in part.missing()]

    def as_published(self) -> Metric:
        return RadCliQ({name: part.as_published() for name, part in self._parts.items()})

    def settings(self) -> Mapping[str, str]:
        return {
            f"{name}.{key}": value
            for name, part in self._parts.items()
            for key, value in part.settings().items()
        }

    def compute(self, predictions: Sequence[str], references: Sequence[str]) -> PerReport:
        figures = np.column_stack(
            [
                part.compute(predictions, references).values[part.outputs[0].name] / 100
                for part in self._parts.values()
            ]
        )
        v1, v0 = V1.predict(figures), V0.predict(figures)
        counts = np.where(np.isnan(v1), np.nan, 1.0)
        values = {"radcliq": v1, "radcliq_v0": v0, "radcliq_inverse": np.full(len(v1), np.nan)}
        return PerReport(np.column_stack([v1, v0, counts]), values)

    def finalise(self, sums: Floats) -> dict[str, Floats]:
        count = sums[..., 2]
        with np.errstate(invalid="ignore", divide="ignore"):
            v1, v0 = (np.where(count > 0, sums[..., place] / count, np.nan) for place in (0, 1))
            inverse = np.where(v1 > 0, 1 / v1, np.nan)
        return {"radcliq": v1, "radcliq_v0": v0, "radcliq_inverse": inverse}
