"""The coco profile against pycocoevalcap's answers, with Java."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from libra_bench.core.errors import MissingResourceError
from libra_bench.metrics import ptb, registry
from libra_bench.metrics.base import Metric, PerReport
from libra_bench.metrics.cider import Cider
from libra_bench.metrics.coco_bleu import CocoBleu
from libra_bench.metrics.coco_meteor import CocoMeteor
from libra_bench.metrics.coco_rouge_l import CocoRougeL, f_beta

CORPORA = ("chexpert_impression", "iu_valid")
# METEOR, whose program needs seconds to start, has one test of its own.
NAMES = {"bleu": "BLEU", "rouge_l": "ROUGE-L", "cider": "CIDEr"}


@pytest.fixture(autouse=True)
def _java() -> None:
    try:
        registry.create("meteor", "coco").check()
    except MissingResourceError as gap:
        pytest.skip(str(gap))


def kit(parity: Path, corpus: str) -> tuple[list[str], list[str], dict[str, object]]:
    lines = (parity / f"metrics/{corpus}.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    expected = json.loads((parity / f"metrics/{corpus}.coco.json").read_text())
    return [row["prediction"] for row in rows], [row["reference"] for row in rows], expected


def scored(metric: Metric, predictions: list[str], references: list[str]) -> dict[str, float]:
    found = metric.aggregate(metric.score(predictions, references))
    return {name: float(value) for name, value in found.items()}


@pytest.mark.parametrize("corpus", CORPORA)
@pytest.mark.parametrize("name", NAMES)
def test_equal_to_the_published_implementation(parity: Path, corpus: str, name: str) -> None:
    predictions, references, expected = kit(parity, corpus)
    metric = registry.create(name, "coco")
    report = metric.score(predictions, references)
    figures = [float(value) for value in metric.aggregate(report).values()]
    wanted = expected[NAMES[name]]
    assert figures == pytest.approx(wanted if isinstance(wanted, list) else [wanted], rel=1e-9)
    each = expected.get(f"{NAMES[name]}_per_sample")
    if each is not None:
        np.testing.assert_allclose(report.values[name], 100 * np.array(each), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("corpus", CORPORA)
def test_meteor(parity: Path, corpus: str) -> None:
    texts, truths, expected = kit(parity, corpus)
    odd = {
        "equal": ("the heart is normal .", "the heart is normal ."),
        "empty": ("", "normal heart"),
        "no words": ("...", "?!"),
        "not latin": ("心臓は正常", "心臓は正常"),
        "long": ("word " * 10_000, "word"),
        "bars": ("no ||| effusion", "no effusion"),
    }
    metric = CocoMeteor()
    report = metric.score(
        [*texts, *(pair[0] for pair in odd.values())],
        [*truths, *(pair[1] for pair in odd.values())],
    )
    count = len(texts)
    part = PerReport(report.statistics[:count], {})
    assert float(metric.aggregate(part)["meteor"]) == pytest.approx(expected["METEOR"], rel=1e-9)
    each = 100 * np.array(expected["METEOR_per_sample"])
    np.testing.assert_allclose(report.values["meteor"][:count], each, rtol=1e-9)
    twice = metric.aggregate(part, np.full((1, count), 2.0))
    assert float(twice["meteor"][0]) == pytest.approx(expected["METEOR"], rel=1e-9)
    found = dict(zip(odd, report.values["meteor"][count:], strict=True))
    assert found["equal"] == found["not latin"] == pytest.approx(100)
    assert found["empty"] == found["no words"] == 0
    assert 0 < found["long"] < 1
    assert found["bars"] > 20  # the tokens around the bars still match


def test_corpus_figures_come_from_sums_of_statistics(parity: Path) -> None:
    # The bootstrap's promise: a report drawn twice is a report that stands there twice.
    predictions, references, _ = kit(parity, "iu_valid")
    few, wanted = predictions[:6], references[:6]
    weights = np.array([[2.0, 1, 0, 1, 1, 1]])
    drawn = [0, 0, 1, 3, 4, 5]
    for metric in (CocoBleu(), CocoRougeL()):
        resampled = metric.aggregate(metric.score(few, wanted), weights)
        again = scored(metric, [few[n] for n in drawn], [wanted[n] for n in drawn])
        assert {name: float(value[0]) for name, value in resampled.items()} == pytest.approx(again)


def test_order_does_not_matter_and_nothing_shifts() -> None:
    # A text that ends in an abbreviation, before one that begins with a capital, is where the
    # tokenizer looks past the end of a line; line breaks of all kinds must not make new lines.
    predictions = ["seen by Dr.", "Effusion\u2028is\x85small\r\nnow", "", "Étude normale", "U.S."]
    references = ["Seen by dr", "effusion is small now", "clear", "étude normale", "US exam"]
    turned = [4, 2, 0, 1, 3]
    for metric in (CocoBleu(), CocoRougeL(), Cider()):
        ptb.ptb_tokeniser.cache_clear()
        straight = metric.score(predictions, references)
        ptb.ptb_tokeniser.cache_clear()
        other = metric.score([predictions[n] for n in turned], [references[n] for n in turned])
        for name, column in straight.values.items():
            np.testing.assert_allclose(other.values[name], column[turned], err_msg=name)
    rouge = CocoRougeL().score(predictions, references).values["rouge_l"]
    assert rouge[1] == rouge[3] == 100


def test_identical_texts() -> None:
    texts = ["the heart is normal in size .", "no pleural effusion is seen today ."]
    for metric in (CocoBleu(), CocoRougeL()):
        for value in scored(metric, texts, texts).values():
            assert value == pytest.approx(100, abs=1e-4)
    assert scored(Cider(), texts, texts)["cider"] == pytest.approx(10)


def test_bad_texts_have_an_answer() -> None:
    predictions = ["", "...", "心臓は正常", "word " * 10_000, None, "normal"]
    references = ["normal heart", "?!", "心臓は正常", "word", "normal", ""]
    for name in NAMES:
        metric = registry.create(name, "coco")
        report = metric.score(predictions, references)
        np.testing.assert_array_equal(report.scored, [True] * 4 + [False] * 2)
        for output in metric.outputs:
            assert not np.isnan(report.values[output.name][:4]).any(), (name, output.name)
            assert not math.isnan(metric.aggregate(report)[output.name])


def test_no_report_has_no_figure() -> None:
    for name in registry.names("coco"):
        metric = registry.create(name, "coco")
        found: PerReport = metric.score([None], ["normal"])
        assert all(math.isnan(value) for value in metric.aggregate(found).values()), name


def test_one_report_has_no_rare_words() -> None:
    assert scored(Cider(), ["clear lungs"], ["clear lungs"])["cider"] == 0


def test_rouge_by_hand() -> None:
    # Precision 2/2, recall 2/4: (1 + 1.44) x 1 x .5 / (.5 + 1.44).
    assert f_beta(["a", "c"], ["a", "b", "c", "d"]) == pytest.approx(1.22 / 1.94)
    assert f_beta(["x"], ["a"]) == 0


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ptb.shutil, "which", lambda name: None)
    for name in registry.names("coco"):
        with pytest.raises(MissingResourceError, match="Java"):
            registry.create(name, "coco").check()
    monkeypatch.undo()
    monkeypatch.setattr(ptb.util, "find_spec", lambda name: None)
    with pytest.raises(MissingResourceError, match="pycocoevalcap is not installed"):
        registry.create("cider", "coco").check()
