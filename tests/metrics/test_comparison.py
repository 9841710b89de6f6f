"""Scores to frames and back, comparisons, and verdicts against a baseline."""

import io
import math
import time

import numpy as np
import pandas as pd
import pytest

from libra_bench.core.errors import InputError, MissingResourceError
from libra_bench.metrics import registry
from libra_bench.metrics.base import Output
from libra_bench.metrics.bleu import Bleu
from libra_bench.metrics.comparison import compare
from libra_bench.metrics.regression import regressions
from libra_bench.metrics.rouge_l import RougeL
from libra_bench.metrics.scoring import (
    score_texts,
    scored_metrics,
    signature_of,
    statistics_of,
    to_frame,
)
from libra_bench.metrics.signatures import differing_parts, parts_of, signature_from
from libra_bench.stats.clusters import by_patient

REFERENCES = [
    "the heart is normal",
    "no effusion is seen",
    "stable small effusion",
    "lungs are clear",
    "new opacity in the left lung",
    "the heart is enlarged",
]
GOOD = [text + " today" for text in REFERENCES]
POOR = [text.split()[0] + " nothing" for text in REFERENCES]
METRICS = [Bleu(), RougeL()]


class Missing(RougeL):
    def check(self) -> None:
        raise MissingResourceError("The corpus is away", "fetch it")


def frame(
    predictions: list[str | None], ids: list[object] | None = None, metrics: list | None = None
) -> pd.DataFrame:
    chosen = METRICS if metrics is None else metrics
    made = to_frame(score_texts(predictions, REFERENCES, chosen, trials=10), chosen)
    made.insert(0, "question_id", ids or [str(n) for n in range(len(REFERENCES))])
    return made


def summary(**figures: dict[str, object]) -> dict[str, object]:
    return {"metrics": figures}


def test_scores_tell_all_about_each_figure() -> None:
    scores = score_texts([None, *GOOD[1:]], REFERENCES, METRICS, trials=50, seed=1, level=0.9)
    figure = scores.figures["bleu4"]
    assert (figure.metric, figure.title, figure.n, figure.unscored) == ("bleu", "BLEU-4", 5, 1)
    assert figure.low <= figure.value <= figure.high
    assert figure.level == 0.9
    assert "n:5" in figure.signature and "tok:13a" in figure.signature
    assert list(scores.figures) == ["bleu1", "bleu2", "bleu3", "bleu4", "rouge_l"]


def test_a_metric_without_its_resources_leaves_the_others_alone() -> None:
    heard: list[str] = []
    scores = score_texts(GOOD, REFERENCES, [Missing(), Bleu()], trials=5, progress=heard.append)
    assert scores.not_scored == {
        "rouge_l": {
            "titles": ["ROUGE-L"],
            "reason": "The corpus is away",
            "mend": "fetch it",
            "fetch": None,
            "also": None,
        }
    }
    assert "bleu1" in scores.figures and "rouge_l" not in scores.figures
    assert heard == ["rouge_l", "bleu"]


def test_what_pandas_calls_missing_is_unscored() -> None:
    texts = pd.Series([None, float("nan"), *GOOD[2:]], dtype=object)
    scores = score_texts(list(texts), REFERENCES, METRICS, trials=5)
    assert scores.figures["bleu1"].unscored == 2
    assert scores.figures["rouge_l"].n == 4


def test_texts_that_are_none_are_all_named() -> None:
    with pytest.raises(
        InputError, match=r"(?s)prediction 0: .* not 3.*prediction 2: .* not \['a'\]"
    ):
        score_texts([3, "fine", ["a"]], ["x", "y", "z"], METRICS)  # type: ignore[list-item]
    with pytest.raises(InputError, match="1 predictions, 2 references"):
        score_texts(["a"], ["x", "y"], METRICS)
    with pytest.raises(InputError, match="1 clusters"):
        score_texts(["a", "b"], ["x", "y"], METRICS, clusters=by_patient(["p"], ["1"]))


def test_one_report_has_figures_without_an_interval() -> None:
    figure = score_texts(["clear lungs"], ["clear lungs"], METRICS).figures["bleu1"]
    assert figure.value == pytest.approx(100)
    assert math.isnan(figure.low) and math.isnan(figure.high)


def test_figures_come_back_from_a_stored_frame() -> None:
    scores = score_texts([None, *GOOD[1:]], REFERENCES, METRICS, trials=5)
    stored = io.BytesIO(to_frame(scores, METRICS).to_parquet(index=False))
    read = pd.read_parquet(stored)
    assert scored_metrics(read) == ["bleu", "rouge_l"]
    assert len(read) == len(REFERENCES)
    for metric in METRICS:
        again = metric.finalise(np.nansum(statistics_of(read, metric), axis=0))
        for output in metric.outputs:
            assert float(again[output.name]) == scores.figures[output.name].value
        assert signature_of(read, metric) == metric.signature(5)
    with pytest.raises(InputError, match="no statistics of temporal_f1"):
        statistics_of(read, registry.create("temporal_f1"))


def test_the_better_system_is_found() -> None:
    rows = compare({"poor": frame(POOR), "good": frame(GOOD)}, METRICS, trials=500)
    assert [row.name for row in rows] == ["bleu1", "bleu2", "bleu3", "bleu4", "rouge_l"]
    rouge = rows[-1]
    assert (rouge.baseline_label, rouge.label, rouge.n) == ("poor", "good", 6)
    assert rouge.difference == pytest.approx(rouge.value - rouge.baseline)
    assert 0 < rouge.low <= rouge.difference <= rouge.high
    # Six reports have 2**6 exchanges; two of them are as extreme as the observed one.
    assert rouge.p == pytest.approx(2 / 64, abs=0.02)
    assert rouge.superiority == 1 and rouge.effect > 1
    assert all(row.p_holm >= row.p_bh >= row.p for row in rows)


def test_a_worse_system_has_the_interval_turned_round() -> None:
    better = compare({"poor": frame(POOR), "good": frame(GOOD)}, [RougeL()], trials=300)[0]
    worse = compare({"good": frame(GOOD), "poor": frame(POOR)}, [RougeL()], trials=300)[0]
    assert worse.difference == pytest.approx(-better.difference)
    assert (worse.low, worse.high) == pytest.approx((-better.high, -better.low))
    assert worse.low <= worse.difference <= worse.high < 0
    assert worse.superiority == 0 and worse.effect == pytest.approx(-better.effect)


def test_no_interval_reaches_beyond_what_a_difference_can_be() -> None:
    """Figures of 0 to 100 differ by 100 at most, whatever the t interval of two patients says."""
    texts = [*REFERENCES[:3], "x", "x", "x"]
    other = ["x", "x", "x", *REFERENCES[3:]]
    row = compare({"a": frame(texts), "b": frame(other)}, [RougeL()], trials=50)[0]
    assert row.difference == pytest.approx(0)
    assert (row.low, row.high) == (-100, 100)


def test_ids_match_in_any_order_and_as_numbers() -> None:
    order = [3, 0, 5, 1, 4, 2]
    turned = frame(GOOD, list(range(6))).iloc[order].reset_index(drop=True)
    straight, other = (
        compare({"a": frame(POOR), "b": one}, METRICS, trials=100) for one in (frame(GOOD), turned)
    )
    assert straight == other


def test_reports_that_one_side_left_unscored_are_left_out_of_both() -> None:
    rows = compare({"a": frame([None, *GOOD[1:]]), "b": frame(GOOD)}, METRICS, trials=20)
    assert {row.n for row in rows} == {5}
    assert all(row.difference == 0 and row.p == 1 for row in rows)


def test_patients_are_the_clusters() -> None:
    first, second = frame(POOR), frame(GOOD)
    first["subject_id"] = second["subject_id"] = ["p", "p", "p", "q", "q", None]
    rouge = compare({"a": first, "b": second}, [RougeL()], trials=2000)[0]
    assert rouge.p == pytest.approx(2 / 8, abs=0.04)  # three coins: p, q and the lone report


def test_superiority_is_the_share_of_better_reports_whatever_the_direction() -> None:
    class Errors(RougeL):
        name = "errors"
        outputs = (Output("errors", "Errors", higher_is_better=False),)

    table = frame(POOR).rename(columns=lambda name: name.replace("rouge_l", "errors"))
    other = frame(GOOD).rename(columns=lambda name: name.replace("rouge_l", "errors"))
    row = compare({"a": table, "b": other}, [Errors()], trials=20)[0]
    # Every report of the second has more errors: it is better on none.
    assert (row.difference > 0, row.superiority) == (True, 0.0)
    assert compare({"a": other, "b": table}, [Errors()], trials=20)[0].superiority == 1.0


def test_all_that_does_not_fit_is_named_together() -> None:
    other = frame(GOOD, ["0", "1", "2", "3", "4", "x"], [Bleu("none"), RougeL()])
    with pytest.raises(InputError) as caught:
        compare({"a": frame(POOR), "b": other}, METRICS)
    told = str(caught.value)
    assert "id '5' only in a" in told and "id 'x' only in b" in told
    assert "bleu was made with clean libra there, none here" in told


def test_one_system_and_repeated_ids_are_refused() -> None:
    with pytest.raises(InputError, match="two systems"):
        compare({"a": frame(GOOD)}, METRICS)
    with pytest.raises(InputError, match="ids that occur twice: 1"):
        compare({"a": frame(GOOD), "b": frame(GOOD, ["0", "1", "1", "3", "4", "5"])}, METRICS)


def test_a_test_set_with_ten_thousand_trials_takes_seconds() -> None:
    rng = np.random.default_rng(0)
    metrics = [registry.create(name) for name in registry.names("libra")]

    def invented() -> pd.DataFrame:
        columns: dict[str, object] = {"question_id": [str(n) for n in range(2461)]}
        for metric in metrics:
            for output in metric.outputs:
                columns[output.name] = rng.random(2461)
            for name in metric.statistics:
                columns[f"{metric.name}::{name}"] = rng.random(2461) + 1
        return pd.DataFrame(columns)

    frames = {"a": invented(), "b": invented()}
    start = time.process_time()
    rows = compare(frames, metrics, trials=10_000)
    assert time.process_time() - start < 3
    assert len(rows) == sum(len(metric.outputs) for metric in metrics)


def test_signatures_differ_by_part() -> None:
    one, two = "metric:bleu|tok:13a|n:5|model:x@unknown", "metric:bleu|tok:ptb|n:6|smooth:none"
    assert differing_parts(one, two, ("n", "model")) == [
        "tok 13a there, ptb here",
        "smooth absent there, none here",
    ]
    assert differing_parts("decoding:unknown", "decoding:greedy") == []


@pytest.mark.parametrize(
    ("baseline", "current", "expected"),
    [
        ({"value": 30, "low": 28, "high": 32}, {"value": 28.5}, "same"),
        ({"value": 30, "low": 28, "high": 32}, {"value": 27.9}, "worse"),
        ({"value": 30, "low": 28, "high": 32}, {"value": 32.1}, "better"),
        ({"value": 30, "low": 28, "high": 32}, {"value": 28.0}, "same"),
        # Without an interval in the baseline, the run's own decides.
        ({"value": 30}, {"value": 27, "low": 25, "high": 29.9}, "worse"),
        ({"value": 30}, {"value": 27, "low": 25, "high": 30.1}, "same"),
        ({"value": 30}, {"value": 33, "low": 31, "high": 35}, "better"),
        # Without any, every fall counts.
        ({"value": 30}, {"value": 29.9}, "worse"),
        ({"value": 30}, {"value": 30}, "same"),
        # Lower is better: the bad side is above.
        ({"value": 3, "low": 2, "high": 4, "higher_is_better": False}, {"value": 4.1}, "worse"),
        ({"value": 3, "low": 2, "high": 4, "higher_is_better": False}, {"value": 1.9}, "better"),
        ({"value": 30}, {"value": None}, "not scored"),
        ({"value": 30}, {"value": math.nan}, "not scored"),
        ({"value": None}, {"value": 5}, "new"),
    ],
)
def test_verdicts(baseline: dict, current: dict, expected: str) -> None:
    if "higher_is_better" in baseline:
        current = {**current, "higher_is_better": baseline["higher_is_better"]}
    (verdict,) = regressions(summary(m=current), summary(m=baseline))
    assert verdict.verdict == expected
    assert verdict.regressed == (expected in ("worse", "not scored"))


def test_a_lost_metric_is_a_regression_and_a_new_one_is_not() -> None:
    found = regressions(summary(new={"value": 1}), summary(old={"value": 1}))
    assert [(one.name, one.verdict, one.regressed) for one in found] == [
        ("old", "not scored", True),
        ("new", "new", False),
    ]


@pytest.mark.parametrize(
    ("baseline", "current", "told"),
    [
        ({"signature": "tok:13a"}, {"signature": "tok:ptb"}, "m: tok 13a there, ptb here"),
        ({"signature": "decoding:a"}, {"signature": "decoding:b"}, "decoding a there, b here"),
        ({"n": 5, "unscored": 0}, {"n": 6, "unscored": 0}, "5 reports there, 6 here"),
        ({"higher_is_better": False}, {"higher_is_better": True}, "better when higher"),
    ],
)
def test_what_cannot_be_compared_is_refused(baseline: dict, current: dict, told: str) -> None:
    with pytest.raises(InputError, match=told):
        regressions(summary(m={"value": 1, **current}), summary(m={"value": 1, **baseline}))


def test_figures_of_two_profiles_are_refused() -> None:
    run = {"run": {"profile": "rexrank"}, **summary(bleu2={"value": 23})}
    printed = {"profile": "libra", **summary(bleu2={"value": 37})}
    with pytest.raises(InputError, match="profiles libra and rexrank"):
        regressions(run, printed)
    assert regressions(run, {**printed, "profile": "rexrank"})


def test_another_model_or_a_failed_report_can_be_checked() -> None:
    before = {"value": 30, "n": 5, "unscored": 0, "signature": "tok:13a|n:5|model:a"}
    now = {"value": 31, "n": 4, "unscored": 1, "signature": "tok:13a|n:4|model:b"}
    assert [one.verdict for one in regressions(summary(m=now), summary(m=before))] == ["better"]


@pytest.mark.parametrize(
    "baseline", [{}, {"metrics": {}}, {"metrics": {"m": 3}}, {"metrics": {"m": {"value": "3"}}}, []]
)
def test_a_file_that_is_no_baseline_is_refused(baseline: object) -> None:
    with pytest.raises(InputError):
        regressions(summary(m={"value": 1}), baseline)


@pytest.mark.parametrize(
    ("beside", "told"),
    [
        ({"signature": 5}, "m: signature: a text"),
        ({"n": "x", "unscored": 1}, "m: n: a whole number"),
        ({"n": 1, "unscored": [1]}, "m: unscored: a whole number"),
    ],
)
def test_what_stands_beside_a_value_is_looked_at(beside: dict, told: str) -> None:
    with pytest.raises(InputError, match=told):
        regressions(summary(m={"value": 1}), summary(m={"value": 1, **beside}))


@pytest.mark.parametrize("beside", [{"hashes": {"cohort": [1]}}, {"profile": [1]}])
def test_a_baseline_of_another_form_is_not_comparable(beside: dict) -> None:
    now = {"hashes": {"cohort": "a"}, "profile": "libra", **summary(m={"value": 1})}
    with pytest.raises(InputError, match="not comparable"):
        regressions(now, {**summary(m={"value": 1}), **beside})


def test_a_value_may_hold_any_character() -> None:
    parts = {"clean": "a|b:c", "model": "50%|x@y", "n": "3"}
    assert parts_of(signature_from(parts)) == parts


def test_what_fetching_does_not_bring_is_told_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from libra_bench.core.errors import MissingResourceError
    from libra_bench.metrics.rouge_l import RougeL

    gaps = [
        MissingResourceError("spaCy is away", "pip install spacy"),
        MissingResourceError("a/b is away", "--metric-option x=DIR", "a/b"),
    ]
    monkeypatch.setattr(RougeL, "missing", lambda self: gaps)
    gap = RougeL().gap()
    assert gap is not None and (gap.fetch, gap.also) == ("rouge_l", "pip install spacy")
    assert gap.mend == (
        "pip install spacy; and libra-bench fetch rouge_l, or --metric-option x=DIR"
    )
