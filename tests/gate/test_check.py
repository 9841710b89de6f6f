"""A run against its baseline: alarms where there is cause, and only there."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from made_up_runs import cohort, cut, make_run

from libra_bench.core.errors import InputError
from libra_bench.gate import baseline as files
from libra_bench.gate.check import check_run
from libra_bench.gate.decision import detectable
from libra_bench.gate.reading import read_run
from libra_bench.gate.settings import GateSettings

QUICK = GateSettings(trials=2000)


@pytest.fixture(scope="module")
def texts() -> tuple[list[str], list[str]]:
    return cohort()


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory, texts: tuple) -> Path:
    return make_run(tmp_path_factory.mktemp("before") / "run", *texts)


@pytest.fixture(scope="module")
def saved(before: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("baselines") / "main.json.gz"
    files.write(read_run(before).evidence, path)
    return path


@pytest.fixture(scope="module")
def worse(tmp_path_factory: pytest.TempPathFactory, texts: tuple) -> Path:
    return make_run(tmp_path_factory.mktemp("worse") / "run", cut(texts[0], 0.3), texts[1])


def by_name(outcome: object) -> dict:
    return {one.name: one for one in outcome.all}


def test_the_same_run_is_the_same(before: Path, saved: Path) -> None:
    outcome = check_run(before, saved, QUICK)
    assert outcome.verdict == "same"
    assert {one.verdict for one in outcome.all} == {"same"}
    assert not outcome.failing
    assert outcome.as_json()["figures"][0]["difference"] == 0.0
    # Another run folder of the same texts, as a baseline without a file.
    assert check_run(before, before, QUICK).verdict == "same"


def test_a_cut_sentence_is_found(worse: Path, saved: Path, before: Path) -> None:
    outcome = check_run(worse, saved, QUICK, texts=True)
    found = by_name(outcome)
    assert {found[name].verdict for name in ("bleu1", "bleu4", "rouge_l")} == {"worse"}
    assert outcome.verdict == "worse"
    for name in ("bleu1", "bleu4", "rouge_l"):
        one = found[name]
        assert one.current - one.baseline == pytest.approx(one.difference)
        assert one.low < one.difference < one.high < 0
        assert one.p <= 0.05
        assert 1 <= len(one.moved) <= 5
        assert one.moved[0].text and one.moved[0].reference
        assert [study.influence for study in one.moved] == sorted(
            study.influence for study in one.moved
        )

    # A summary knows nothing of single reports, and says so.
    old = check_run(worse, before / "summary.json", QUICK)
    assert "unpaired" in old.notes[0]
    assert by_name(old)["rouge_l"].p is None and not by_name(old)["rouge_l"].moved
    assert check_run(before, before / "summary.json", QUICK).verdict == "same"


def test_the_other_way_round_is_better(worse: Path, before: Path) -> None:
    outcome = check_run(before, worse, QUICK)
    assert by_name(outcome)["rouge_l"].verdict == "better"
    assert not outcome.failing


def test_moved_studies_are_those_whose_swap_restores_most(
    worse: Path, before: Path, texts: tuple
) -> None:
    found = by_name(check_run(worse, before, QUICK))["rouge_l"]
    # ROUGE-L is a mean: a study moves it by its own fall over the number of studies.
    frames = [read_run(path).frame for path in (before, worse)]
    falls = (frames[1]["rouge_l"] - frames[0]["rouge_l"]) / len(texts[0])
    expected = sorted(zip(falls, frames[0]["question_id"], strict=True))[:5]
    assert [study.influence for study in found.moved] == pytest.approx([one[0] for one in expected])


def test_a_margin_lets_a_small_fall_pass_and_may_show_the_same(worse: Path, saved: Path) -> None:
    fall = -by_name(check_run(worse, saved, QUICK))["rouge_l"].difference
    wide = GateSettings(trials=2000, margins={"bleu": 50.0, "rouge_l": 3 * fall})
    found = by_name(check_run(worse, saved, wide))
    assert found["rouge_l"].verdict == found["bleu4"].verdict == "same"
    assert found["bleu4"].margin == 50.0
    close = GateSettings(trials=2000, margins={"rouge_l": fall, "bleu": 50.0})
    assert by_name(check_run(worse, saved, close))["rouge_l"].verdict == "undecided"


def test_undecided_says_what_could_have_been_shown(
    tmp_path: Path, saved: Path, texts: tuple
) -> None:
    changed = list(texts[0])
    changed[0] = "The lungs are clear."
    run = make_run(tmp_path / "run", changed, texts[1])
    outcome = check_run(run, saved, QUICK)
    one = by_name(outcome)["rouge_l"]
    assert one.verdict == "undecided" and outcome.verdict == "undecided"
    assert one.detectable > 0 and "power 80 %" in one.reason
    assert not outcome.failing
    strict = check_run(run, saved, GateSettings(trials=2000, strict=True))
    assert one.name in [each.name for each in strict.failing]


def test_the_smallest_difference_by_hand() -> None:
    # Very many clusters: z(.99) + z(.8) = 2.3263 + 0.8416, times the error, plus the margin.
    assert detectable(0.5, 0.0, 10**7, 0.2, 0.01) == pytest.approx(3.1680 * 0.5 + 0.2, abs=1e-3)
    # Ten clusters, t(.95, 9) = 1.8331 and t(.8, 9) = 0.8834. Exchange spreads by
    # sqrt((9 s^2 + 10 d^2) / 100) where the differences have mean d and variance s^2: .04 and 1.
    exchange = math.sqrt((9 * 1.0 + 10 * 0.04) / 100)
    noise = 1.0 / math.sqrt(10)
    expected = (1.8331 + 0.8834) * noise
    assert detectable(exchange, -0.2, 10, 0.0, 0.05) == pytest.approx(expected, abs=1e-3)
    assert detectable(0.0, 0.0, 100, 0.0, 0.05) is None
    assert detectable(math.nan, 0.0, 100, 0.0, 0.05) is None


def test_too_few_patients_can_show_nothing(tmp_path: Path, texts: tuple) -> None:
    """Five figures of .8 of alpha: .05 * .8 / 5 = 1/125, and 2 ** -7 is the first below it."""
    for count, possible in ((6, False), (7, True)):
        runs = [
            make_run(
                tmp_path / f"{name}{count}",
                part,
                texts[1][:count],
                patients=lambda n: f"p{n}",
            )
            for name, part in (
                ("before", texts[0][:count]),
                ("now", ["The lungs are clear.", *texts[0][1:count]]),
            )
        ]
        found = by_name(check_run(runs[1], runs[0], QUICK))["rouge_l"]
        assert found.verdict == "undecided"
        assert (found.detectable is not None) is possible
        said = "6 patients can show no change at all among so many figures: at least 7 are needed"
        assert (said in found.reason) is not possible


@pytest.mark.parametrize("count", [12, 60])
def test_the_smallest_difference_is_shown_four_times_in_five(count: int) -> None:
    """Runs that fall by just so much, on average, with noise of their own."""
    from libra_bench.stats.change import changes

    rng, alpha, shown, drawn = np.random.default_rng(2), 0.02, 0, 400
    for seed in range(drawn):
        gaps = rng.normal(0.0, 1.0, (count, 1))
        ones = np.ones_like(gaps)

        def change(gaps: np.ndarray, seed: int = seed, ones: np.ndarray = ones) -> object:
            return changes(
                np.hstack([0 * gaps, ones]),
                np.hstack([gaps, ones]),
                lambda sums: {"mean": sums[..., 0] / sums[..., 1]},
                [str(n) for n in range(count)],
                higher_is_better={"mean": True},
                margins={},
                trials=1499,
                seed=seed,
                level=0.95,
            )["mean"]

        # An earlier pair of runs, of the same noise, tells the fall; its noise is an estimate.
        first = change(gaps / gaps.std(ddof=1) + 0.3)
        fall = detectable(first.error, first.difference, count, 0.0, alpha)
        later = rng.normal(0.0, 1.0, (count, 1)) - fall
        shown += change(later).p_worse <= alpha
    # The standard deviation of a share of .8 of 400 is .02.
    assert 0.74 <= shown / drawn <= 0.86


def test_groups_gate_too(tmp_path: Path, saved: Path, texts: tuple) -> None:
    # Only PA views, every second report, lose their last sentence.
    shorter = cut(texts[0], 1.0)
    changed = [shorter[n] if n % 2 else text for n, text in enumerate(texts[0])]
    run = make_run(tmp_path / "run", changed, texts[1])
    found = by_name(check_run(run, saved, GateSettings(trials=2000, by=("view",))))
    assert found["rouge_l@view=PA"].verdict == "worse"
    assert found["rouge_l@view=AP"].verdict == "same"
    assert found["rouge_l@view=PA"].n == 60
    ids = {study.id for study in found["rouge_l@view=PA"].moved}
    assert all(int(one.removeprefix("study-")) % 2 for one in ids)


def test_more_tests_cost_power(worse: Path, saved: Path) -> None:
    alone = GateSettings(trials=2000, metrics=("rouge_l",))
    found = check_run(worse, saved, alone)
    assert [one.name for one in found.figures] == ["rouge_l"]
    among = by_name(check_run(worse, saved, QUICK))["rouge_l"]
    assert found.figures[0].p <= among.p
    # One figure: its p-value is the raw one over the figures' part of alpha.
    assert found.figures[0].p == pytest.approx(found.figures[0].p_raw / 0.8)


def test_a_lost_metric_fails(tmp_path: Path, saved: Path, texts: tuple) -> None:
    run = make_run(tmp_path / "run", *texts, metrics=("bleu",))
    outcome = check_run(run, saved, QUICK)
    found = by_name(outcome)
    assert found["rouge_l"].verdict == "worse" and "lost" in found["rouge_l"].reason
    assert found["bleu1"].verdict == "same"
    # A metric that is new does not gate, and is named.
    more = make_run(tmp_path / "more", *texts, metrics=("bleu", "rouge_l", "temporal_f1"))
    outcome = check_run(more, saved, QUICK)
    assert outcome.verdict == "same" and "temporal_f1" in outcome.notes[0]


def test_a_run_of_failed_reports_has_no_scores(tmp_path: Path, saved: Path, texts: tuple) -> None:
    with pytest.raises(InputError, match="nothing can be scored"):
        make_run(tmp_path / "run", [None] * len(texts[0]), texts[1])


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda n, text: None if n < 1 else text, "failed"),
        (lambda n, text: "" if n < 1 else text, "empty"),
        (lambda n, text: "The lungs are clear." if n < 20 else text, "repeated"),
        (lambda n, text: f"{text} {text}", "length"),
    ],
)
def test_faults_of_texts_fail(
    tmp_path: Path, saved: Path, texts: tuple, change: object, name: str
) -> None:
    changed = [change(n, text) for n, text in enumerate(texts[0])]
    run = make_run(tmp_path / "run", changed, texts[1])
    one = by_name(check_run(run, saved, QUICK))[name]
    assert one.verdict == "worse", one
    assert one.moved
    free = GateSettings(trials=2000, thresholds={name: 2.0})
    assert by_name(check_run(run, saved, free))[name].verdict == "same"


def test_truncated_answers_are_counted(tmp_path: Path, saved: Path, texts: tuple) -> None:
    run = make_run(tmp_path / "run", *texts, tokens=lambda n: 64 if n < 20 else 20)
    one = by_name(check_run(run, saved, QUICK))["truncated"]
    assert (one.verdict, one.baseline) == ("worse", 0.0)
    assert one.current == pytest.approx(100 * 20 / 120)
    unknown = make_run(tmp_path / "unknown", *texts, tokens=lambda n: None)
    outcome = check_run(unknown, saved, QUICK)
    assert "truncated" not in by_name(outcome) and "truncated is not checked" in outcome.notes[0]


def test_a_rise_that_chance_explains_is_undecided(tmp_path: Path, texts: tuple) -> None:
    # One empty report there, two here, another one of them: 3 coins.
    def blank(places: tuple[int, ...]) -> list[str]:
        return ["" if n in places else text for n, text in enumerate(texts[0])]

    base = make_run(tmp_path / "base", blank((10,)), texts[1])
    run = make_run(tmp_path / "run", blank((20, 30)), texts[1])
    assert by_name(check_run(run, base, QUICK))["empty"].verdict == "undecided"


def test_patients_are_exchanged_whole(tmp_path: Path, texts: tuple) -> None:
    """All reports of three patients: three coins cannot show anything at 5 %."""
    runs = [
        make_run(tmp_path / name, part, texts[1], patients=lambda n: f"p{n % 3}")
        for name, part in (("before", texts[0]), ("now", cut(texts[0], 0.5)))
    ]
    found = check_run(runs[1], runs[0], QUICK)
    assert {one.verdict for one in found.figures} == {"undecided"}
    assert {(one.clusters, one.unit) for one in found.figures} == {(3, "patients")}


def test_unknown_patients_are_said(tmp_path: Path, texts: tuple) -> None:
    run = make_run(tmp_path / "run", *texts, patients=lambda n: None)
    assert "the patient of 120 of 120 reports is unknown" in check_run(run, run, QUICK).notes[0]


def test_the_order_of_reports_does_not_matter(tmp_path: Path, saved: Path, texts: tuple) -> None:
    order = np.random.default_rng(0).permutation(len(texts[0]))
    turned = {int(new): int(old) for new, old in enumerate(order)}
    run = make_run(
        tmp_path / "run",
        [texts[0][row] for row in order],
        [texts[1][row] for row in order],
        ids=lambda n: f"study-{turned[n]}",
        patients=lambda n: f"p{turned[n] // 2}",
        fields=lambda n: {},
    )
    assert check_run(run, saved, QUICK).verdict == "same"


def test_real_reports_with_a_cut_sentence(tmp_path: Path, public_data: Path) -> None:
    from libra_bench.generation.factory import SystemSettings
    from libra_bench.pipeline import Settings, evaluate, rescore
    from libra_bench.runs.scoring import ScoringSettings

    settings = Settings(
        system=SystemSettings(
            model="indication-retrieval",
            corpus=f"openi:{public_data / 'openi' / 'NLMCXR_reports.tgz'}",
        ),
        scoring=ScoringSettings(metrics=("bleu", "rouge_l"), trials=200),
        data=f"rexrank:{public_data / 'rexrank' / 'ReXRank_IUXray_test.json'}",
    )
    run = evaluate(settings, tmp_path / "run").folder
    evidence = read_run(run.path).evidence
    files.write(evidence, tmp_path / "b.json")
    assert check_run(run.path, tmp_path / "b.json", QUICK).verdict == "same"
    rows = [json.loads(line) for line in run.predictions_file.read_text().splitlines()]
    for row in rows[::3]:
        parts = re.split(r"(?<=\.)\s+", row["text"].strip())
        row["text"] = " ".join(parts[:-1]) if len(parts) > 1 else row["text"]
    run.predictions_file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(InputError, match="changed after it was scored"):
        check_run(run.path, tmp_path / "b.json", QUICK)
    rescore(run.path)
    found = by_name(check_run(run.path, tmp_path / "b.json"))
    assert {found[name].verdict for name in ("bleu1", "bleu4", "rouge_l")} == {"worse"}
