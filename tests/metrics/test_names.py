"""Metrics by the names that people and papers write, and columns of texts as they come."""

import numpy as np
import pandas as pd
import pytest

import libra_bench
from libra_bench.core.errors import InputError
from libra_bench.metrics import registry


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("BLEU", "bleu"),
        ("bleu4", "bleu"),
        ("BLEU-4", "bleu"),
        ("RaTEScore", "ratescore"),
        ("RG_ER", "radgraph"),
        ("rg-bar-er", "radgraph"),
        ("RG_ER recall", "radgraph"),
        ("ROUGE-L", "rouge_l"),
        ("rougeL", "rouge_l"),
        ("Temporal F1", "temporal_f1"),
        ("chexbert_14_micro_f1", "chexbert"),
        ("CheXbert-5 macro F1", "chexbert"),
        ("SembScore", "semb"),
        ("BERTScore", "bertscore"),
        (" meteor ", "meteor"),
    ],
)
def test_a_metric_has_many_names(given: str, name: str) -> None:
    assert registry.canonical(given, "libra") == name
    assert registry.create(given, "libra").name == name


def test_names_of_other_profiles() -> None:
    assert registry.canonical("1/RadCliQ-v1", "rexrank") == "radcliq"
    assert registry.canonical("CIDEr-D".removesuffix("-D"), "coco") == "cider"
    with pytest.raises(InputError, match="not part of profile 'libra', but of rexrank"):
        registry.canonical("RadCliQ", "libra")


def test_each_metric_is_made_once_and_all_stands_for_all() -> None:
    assert registry.expand(["BLEU", "rg_er", "bleu2", "RG_E"], "libra") == ["bleu", "radgraph"]
    assert registry.expand(["green", "ALL"], "libra")[0] == "green"
    assert sorted(registry.expand(["all"], "coco")) == sorted(registry.names("coco"))
    made = registry.create_all(["RG_ER", "bleu1", "BLEU"], "libra")
    assert [metric.name for metric in made] == ["radgraph", "bleu"]


@pytest.mark.parametrize(
    ("given", "meant"), [("BLUE", "bleu"), ("Rouge", "rouge_l"), ("chexpert", "chexbert")]
)
def test_wrong_names_are_answered_with_the_nearest(given: str, meant: str) -> None:
    with pytest.raises(InputError, match=f"Did you mean '{meant}'"):
        registry.create_all([given], "libra")


def test_options_find_metrics_of_any_name() -> None:
    made = registry.create_all(["BERT-Score"], "libra", {"bertscore": {"layer": "3"}})
    assert made[0]._layer == 3


@pytest.mark.parametrize(
    "column", ["clear lungs", b"clear", {"a": "clear"}, {"clear"}, 5, None, 2.5], ids=repr
)
def test_what_is_no_column_is_refused(column: object) -> None:
    for pair in ((column, ["clear lungs"]), (["clear lungs"], column)):
        with pytest.raises(InputError, match=r"(predictions|references): a list of texts"):
            libra_bench.score(*pair, ["rouge_l"])


@pytest.mark.parametrize("value", [5, True, b"clear", ["clear"], {"text": "clear"}], ids=repr)
def test_what_is_no_text_is_named_by_its_place(value: object) -> None:
    with pytest.raises(InputError, match="prediction 1: a text was expected"):
        libra_bench.score(["clear", value], ["clear", "clear"], ["rouge_l"])


@pytest.mark.parametrize(
    "make", [list, tuple, pd.Series, lambda v: np.array(v, dtype=object), iter]
)
@pytest.mark.parametrize("missing", [None, np.nan, np.float32("nan"), pd.NA, pd.NaT], ids=repr)
def test_columns_of_any_kind_and_their_missing_values(make: object, missing: object) -> None:
    scores = libra_bench.score(
        make(["clear", missing, "heart"]), ["clear", "x", "heart"], "ROUGE-L"
    )
    figure = scores.figures["rouge_l"]
    assert (figure.value, figure.n, figure.unscored) == (100, 2, 1)


def test_who_names_a_metric_in_another_way_has_named_it() -> None:
    from libra_bench.runs.unscored import named_but_unscored

    figures = {"rouge_l": {"metric": "rouge_l", "n": 1}, "bleu1": {"metric": "bleu", "n": 1}}
    summary = {"profile": "libra", "metrics": figures}
    assert named_but_unscored(summary, ["ROUGE-L", "bleu4", "RG_ER", "All"]) == ["radgraph"]
    assert named_but_unscored(summary, None) == []
    leaderboard = {"run": {"profile": "rexrank"}, "metrics": {}}
    assert named_but_unscored(leaderboard, ["1/RadCliQ-v1"]) == ["radcliq"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trials": 0}, "trials 0: at least 1"),
        ({"trials": 1.5}, "trials 1.5: a whole number"),
        ({"seed": -1}, "seed -1: must not be negative"),
        ({"metrics": 5}, "metrics: names were expected"),
        ({"metrics": [None]}, "metrics: names were expected"),
        ({"options": "bertscore.layer=5"}, "options: "),
        ({"options": {"bertscore": "layer=5"}}, "options: "),
        ({"clusters": [1.5, 2]}, "clusters 0: 1.5 is no id"),
        ({"clusters": [["a"], ["b"]]}, "clusters 0: an id was expected"),
        ({"predictions": np.array([["a"], ["b"]])}, "predictions: one column was expected"),
        ({"predictions": np.array("a")}, "predictions: one column was expected"),
        ({"predictions": pd.DataFrame({"a": ["x"], "b": ["y"]})}, "one column was expected"),
        ({"predictions": [np.array(["a", "b"]), "b"]}, "prediction 0: a text was expected"),
    ],
)
def test_arguments_of_another_kind_are_one_message(changes: dict, message: str) -> None:
    given = {"predictions": ["a", "b"], "references": ["a", "b"], "metrics": ["rouge_l"]}
    with pytest.raises(InputError) as caught:
        libra_bench.score(**{**given, **changes})
    assert message in str(caught.value)


def test_a_patient_is_one_however_pandas_writes_the_id() -> None:
    texts = ["a", "b", "c", "d"]
    patients = pd.Series([10000032.0, "10000032", "", np.nan], dtype=object)
    figure = libra_bench.score(texts, texts, ["rouge_l"], clusters=patients).figures["rouge_l"]
    assert (figure.clusters, figure.unit) == (3, "patients and reports")
