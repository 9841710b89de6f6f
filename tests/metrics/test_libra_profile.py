"""Libra's profile: the published implementations' answers, hand-worked figures, odd input."""

import json
import math
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from libra_bench.core.errors import InputError
from libra_bench.metrics import registry
from libra_bench.metrics.base import Metric
from libra_bench.metrics.bleu import Bleu
from libra_bench.metrics.cleaning import libra
from libra_bench.metrics.rexrank_bleu import RexrankBleu, sentence_bleu2, words
from libra_bench.metrics.rouge_l import RougeL, common_subsequence_length
from libra_bench.metrics.scoring import score_texts
from libra_bench.metrics.temporal_f1 import TemporalF1, keywords, set_f1
from libra_bench.stats.clusters import by_patient

CORPORA = ("chexpert_impression", "iu_valid")
LIGHT = ("bleu", "rouge_l", "temporal_f1")
VOCABULARY = (
    *("the", "heart", "lungs", "are", "is", "clear", "normal", "no", "effusion"),
    *("stable", "increased", "new", ".", ",", "and"),
)


def rows(parity: Path, corpus: str) -> list[dict[str, str]]:
    lines = (parity / f"metrics/{corpus}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def figures(metric: Metric, predictions: list[str], references: list[str]) -> dict[str, float]:
    found = metric.aggregate(metric.score(predictions, references))
    return {name: float(value) for name, value in found.items()}


def invented(count: int, length: int = 40, seed: int = 0) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(VOCABULARY, k=rng.randint(1, length))) for _ in range(count)]


@pytest.mark.parametrize("corpus", CORPORA)
def test_cleaning_equals_the_published(parity: Path, corpus: str) -> None:
    for row in rows(parity, corpus):
        assert libra(row["prediction"]) == row["cleaned_prediction"]
        assert libra(row["reference"]) == row["cleaned_reference"]


@pytest.mark.parametrize("corpus", CORPORA)
def test_figures_equal_the_published(parity: Path, corpus: str) -> None:
    pairs = rows(parity, corpus)
    expected = json.loads((parity / f"metrics/{corpus}.libra.json").read_text())
    texts = [row["prediction"] for row in pairs], [row["reference"] for row in pairs]
    bleu = figures(Bleu(), *texts)
    assert bleu == pytest.approx({f"bleu{k}": expected[f"BLEU{k}"] for k in (1, 2, 3, 4)}, rel=1e-9)
    assert figures(RougeL(), *texts)["rouge_l"] == pytest.approx(expected["ROUGE-L_mean"], rel=1e-9)
    each = RougeL().score(*texts).values["rouge_l"]
    np.testing.assert_allclose(each, 100 * np.array(expected["ROUGE-L_per_sample"]), rtol=1e-9)
    temporal = figures(TemporalF1(), *texts)["temporal_f1"]
    assert temporal == pytest.approx(expected["Temporal_F1"], rel=1e-6)


def test_bleu_by_hand() -> None:
    # 4 of 5 words and 2 of 4 bigrams match; the prediction is a word short of 6.
    found = figures(Bleu(), ["the heart is big now"], ["the heart is very big today"])
    penalty = math.exp(1 - 6 / 5)
    assert found["bleu1"] == pytest.approx(100 * penalty * 4 / 5)
    assert found["bleu2"] == pytest.approx(100 * penalty * math.sqrt(4 / 5 * 2 / 4))
    assert found["bleu4"] == 0  # no 4-gram matches, and nothing is smoothed


def test_bleu_tokens_are_sacrebleus_own_and_kept_for_few_texts() -> None:
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

    from libra_bench.metrics.bleu import REMEMBERED, _tokeniser

    tokenise, theirs = _tokeniser(), Tokenizer13a()
    kept = Tokenizer13a.__call__.cache_info().currsize
    first = "No <skipped>pneumo-\nthorax, 1.5 cm; it's &quot;stable&quot;&amp;clear. 3-4"
    texts = [first, *(f"Nodule {number}." for number in range(REMEMBERED + 9))]
    mine = [tokenise(text) for text in texts]
    assert tokenise.cache_info().currsize == REMEMBERED  # type: ignore[attr-defined]
    assert Tokenizer13a.__call__.cache_info().currsize == kept, "sacrebleu keeps none of them"
    assert mine[1][0] is mine[-1][0], "a word is one object"
    assert [list(one) for one in mine[:3]] == [theirs(text).split() for text in texts[:3]]


def test_bleu_against_sacrebleu() -> None:
    from sacrebleu.metrics import BLEU

    predictions, references = invented(50), invented(50, seed=1)
    oracle = BLEU(tokenize="13a", smooth_method="none", force=True)
    expected = oracle.corpus_score(predictions, [references]).score
    assert figures(Bleu("none"), predictions, references)["bleu4"] == pytest.approx(expected)


def test_rouge_against_rouge_score() -> None:
    from rouge_score.rouge_scorer import RougeScorer

    predictions = [*invented(60, 70), "ÉTUDE x-ray 5.2 cm", "-- !", ""]
    references = [*invented(60, 70, seed=1), "etude X ray 5 cm", "clear", "clear"]
    scorer = RougeScorer(["rougeL"], use_stemmer=False)
    expected = [
        100 * scorer.score(reference, prediction)["rougeL"].fmeasure
        for prediction, reference in zip(predictions, references, strict=True)
    ]
    found = RougeL("none").score(predictions, references).values["rouge_l"]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_common_subsequences_by_hand() -> None:
    assert common_subsequence_length("abcbdab", "bdcaba") == 4  # bcba
    assert common_subsequence_length("abc", "xyz") == 0
    assert common_subsequence_length("a" * 200, "a" * 150) == 150


def test_temporal_f1_of_reports_that_speak_of_change_by_hand() -> None:
    references = ["stable effusion", "lungs clear", "new opacity", "lungs clear", None]
    predictions = ["stable effusion", "lungs clear", "opacity", "new opacity", "new"]
    scores = score_texts(
        predictions,
        references,
        [TemporalF1()],
        clusters=by_patient(["a", "b", "a", "b", "c"], list("12345")),
    )
    # All: 1, both empty 1, missed 0, invented 0. Of those whose reference speaks of change: 1, 0.
    every, change = scores.figures["temporal_f1"], scores.figures["temporal_f1_change"]
    assert (every.value, every.n, every.unscored, every.clusters) == (50.0, 4, 1, 2)
    assert (change.value, change.n, change.clusters) == (50.0, 2, 1)
    assert change.low != change.low, "one patient: no interval"
    silent = score_texts(["clear"] * 5, references, [TemporalF1()]).figures
    assert (silent["temporal_f1"].value, silent["temporal_f1_change"].value) == (50.0, 0.0)
    nothing = score_texts(["clear"], ["clear"], [TemporalF1()]).figures["temporal_f1_change"]
    assert (nothing.n, nothing.value != nothing.value) == (0, True)


def test_temporal_f1_by_hand() -> None:
    # {increased, stable} against {increased}: 2 x 1 / (2 + 1).
    found = figures(TemporalF1(), ["Increased edema, stable heart"], ["edema has increased"])
    assert found["temporal_f1"] == pytest.approx(200 / 3)
    assert keywords("unstable renewed") == frozenset()  # whole words only
    assert set_f1(frozenset(), frozenset()) == 1
    assert set_f1(frozenset({"new"}), frozenset()) == 0


def test_rexrank_bleu_against_nltk() -> None:
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    predictions = [*invented(60), "Heart normal. ", "effusion", "heart", ""]
    references = [*invented(60, seed=1), "heart normal.", "none here", "heart", "clear"]
    found = RexrankBleu().score(predictions, references).values["bleu2"]
    for value, prediction, reference in zip(found, predictions, references, strict=True):
        expected = sentence_bleu(
            [words(reference)],
            words(prediction),
            weights=(0.5, 0.5),
            smoothing_function=SmoothingFunction(0.1).method1,
        )
        assert value == pytest.approx(100 * expected)


def test_rexrank_bleu_by_hand() -> None:
    assert words("No effusion.  Clear\n") == ["no", "effusion", ".", "clear\n"]
    # 2 of 3 words, no bigram: 0.1 of 2.
    assert sentence_bleu2(["a", "x", "b"], ["a", "b"]) == pytest.approx(math.sqrt(2 / 3 * 0.05))


@pytest.mark.parametrize("name", LIGHT)
def test_order_and_batches_do_not_matter(name: str) -> None:
    predictions, references = invented(30), invented(30, seed=1)
    metric = registry.create(name)
    whole = metric.score(predictions, references)
    turned = metric.score(predictions[::-1], references[::-1])
    np.testing.assert_array_equal(whole.statistics, turned.statistics[::-1])
    parts = [metric.score(predictions[a:b], references[a:b]) for a, b in ((0, 7), (7, 30))]
    np.testing.assert_array_equal(
        whole.statistics, np.concatenate([part.statistics for part in parts])
    )


@pytest.mark.parametrize("name", LIGHT)
def test_identical_reports_are_perfect(name: str) -> None:
    texts = invented(20, seed=3) + ["the heart is normal in size"] * 20
    for value in figures(registry.create(name), texts, texts).values():
        assert value == pytest.approx(100)


@pytest.mark.parametrize("name", LIGHT)
def test_odd_texts_have_an_answer_in_their_own_row(name: str) -> None:
    predictions = ["", "...!", "心臓は正常です", "word " * 10_000, None, "clear", "clear lungs"]
    references = ["clear", "clear", "心臓は正常です", "word", "clear", " \n", "clear lungs"]
    predictions, references = [*predictions, "clear \ud800"], [*references, "clear"]
    metric = registry.create(name)
    report = metric.score(predictions, references)
    np.testing.assert_array_equal(report.scored, [1, 1, 1, 1, 0, 0, 1, 1])
    assert report.unscored == 2
    alone = metric.score(predictions[6:7], references[6:7])
    for output in metric.outputs:
        column = report.values[output.name]
        behind = report.behind(output)
        assert output.of_some or (behind == report.scored).all()
        np.testing.assert_array_equal(np.isnan(column), ~behind)
        assert ((column[behind] >= 0) & (column[behind] <= 100)).all()
        np.testing.assert_array_equal(column[6], alone.values[output.name][0])


@pytest.mark.parametrize("name", LIGHT)
def test_nothing_scored_is_nan_and_not_zero(name: str) -> None:
    metric = registry.create(name)
    for texts in ([], []), ([None, None], ["clear", "clear"]):
        assert all(math.isnan(value) for value in figures(metric, *texts).values())


@pytest.mark.parametrize("name", LIGHT)
def test_finalise_takes_any_number_of_trials(name: str) -> None:
    metric = registry.create(name)
    report = metric.score(invented(12), invented(12, seed=1))
    whole = metric.aggregate(report)
    ones = metric.aggregate(report, np.ones((3, 12)))
    for output in metric.outputs:
        np.testing.assert_allclose(ones[output.name], np.full(3, whole[output.name]))


def test_ten_thousand_reports_take_seconds() -> None:
    predictions, references = invented(10_000, 120), invented(10_000, 120, seed=1)
    start = time.process_time()
    for name in LIGHT:
        registry.create(name).score(predictions, references)
    assert time.process_time() - start < 20


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="2 predictions for 1"):
        Bleu().score(["a", "b"], ["a"])


@pytest.mark.parametrize("profile", registry.PROFILES)
def test_each_metric_is_listed_with_what_it_gives(profile: str) -> None:
    listed = registry.listing(profile)
    assert [row["name"] for row in listed] == registry.names(profile)
    assert set(registry.unasked(profile)) <= set(registry.names(profile))
    for row in listed:
        assert row["outputs"] and row["version"] and row["description"] and row["range"]
    outputs = [output for row in listed for output in row["outputs"]]
    assert len(outputs) == len(set(outputs)), "two figures of one profile share a name"


def test_listing_loads_nothing_heavy() -> None:
    heavy = ["torch", "transformers", "pandas", "nltk", "sacrebleu"]
    code = (
        "import sys; from libra_bench.metrics import registry; registry.listing(); "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_core_metrics_are_libra_s_own() -> None:
    assert registry.unasked("libra") == [
        *("bleu", "meteor", "rouge_l", "temporal_f1", "ratescore", "radgraph")
    ]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("blue",), "Did you mean 'bleu'"),
        (("cider",), "not part of profile 'libra', but of coco"),
        (("bleu", "cocos"), "Did you mean 'coco'"),
        (("bleu", "libra", {"bleu": {"order": "4"}}), "no options"),
    ],
)
def test_wrong_names_are_answered_with_right_ones(arguments: tuple, told: str) -> None:
    with pytest.raises(InputError, match=told):
        registry.create(*arguments)
