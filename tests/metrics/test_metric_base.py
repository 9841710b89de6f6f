"""What every metric inherits: pairs in their places, halves of characters, means."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from libra_bench.metrics.base import MeanMetric, Output
from libra_bench.metrics.resources import fingerprint


class Length(MeanMetric):
    """Characters of the prediction over those of the reference."""

    name = "length"
    version = "1"
    outputs = (Output("length", "Length"),)

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []

    def settings(self) -> dict[str, str]:
        return {"unit": "characters"}

    def each(self, predictions: Sequence[str], references: Sequence[str]) -> list[float]:
        self.heard += zip(predictions, references, strict=True)
        return [len(one) / len(two) for one, two in zip(predictions, references, strict=True)]


def test_each_half_of_a_character_is_one_replacement() -> None:
    metric = Length()
    metric.score(["a\ud800b\udfff"], ["\ud83d."])
    assert metric.heard == [("a\ufffdb\ufffd", "\ufffd.")]


def test_what_is_not_scored_keeps_its_place() -> None:
    metric = Length()
    report = metric.score(["ab", None, "abc", "", "a"], ["abcd", "a", " \n", "abcd", None])
    assert metric.heard == [("ab", "abcd"), ("", "abcd")]
    np.testing.assert_array_equal(report.values["length"], [50, np.nan, np.nan, 0, np.nan])
    assert report.unscored == 3
    assert float(metric.aggregate(report)["length"]) == 25
    # The first drawn thrice, the fourth once, and what is not scored as often as you like.
    drawn = metric.aggregate(report, np.array([[3.0, 7, 7, 1, 7]]))
    assert float(drawn["length"][0]) == 37.5
    part = report.of(np.array([True, True, False, False, False]))
    assert (part.unscored, float(metric.aggregate(part)["length"])) == (1, 50)
    with pytest.raises(ValueError, match="1 predictions for 2 references"):
        metric.score(["a"], ["a", "b"])


def test_nothing_scored_is_no_figure() -> None:
    metric = Length()
    assert np.isnan(metric.aggregate(metric.score([None], ["a"]))["length"])
    assert metric.score([], []).unscored == 0


def test_an_interval_stays_within_what_a_figure_can_be() -> None:
    output = Output("x", "X", low=-1.0, high=10.0)
    assert output.within(-3.0, 12.0) == (-1.0, 10.0)
    assert output.within(2.0, 3.0) == (2.0, 3.0)
    assert np.isnan(output.within(float("nan"), 3.0)[0])


def test_the_signature_holds_metric_version_settings_and_n() -> None:
    signature = Length().signature(3)
    for part in ("length", "1", "unit:characters", "n:3"):
        assert part in signature


def test_no_setting_takes_a_name_that_stands_in_every_signature() -> None:
    """`model` and `decoding` say what wrote the texts: a second one would hide the first."""

    class Odd(Length):
        def settings(self) -> dict[str, str]:
            return {"decoding": "greedy", "unit": "characters"}

    with pytest.raises(ValueError, match="length: decoding cannot name a setting"):
        Odd().signature(3)


def test_a_folders_fingerprint_is_of_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "vocab.txt").write_text("the")
    before = fingerprint(tmp_path)
    for name in ("README.md", "LICENSE.txt", ".gitattributes", "tf_model.h5", "picture.png"):
        (tmp_path / name).write_text("x")
    (tmp_path / "onnx").mkdir()
    assert fingerprint(tmp_path) == before
    (tmp_path / "vocab.txt").write_text("a")
    assert fingerprint(tmp_path) != before
    (tmp_path / "vocab.txt").write_text("the")
    (tmp_path / "merges.txt").write_text("t h")
    assert fingerprint(tmp_path) != before
