"""Bootstrap intervals: against hand-computed sums, theory and a slow bootstrap."""

import numpy as np
import pytest

from libra_bench.stats import resampling
from libra_bench.stats.bootstrap import FEW, intervals, method, over_clusters, percentiles
from libra_bench.stats.clusters import by_patient, cluster_sums
from libra_bench.stats.resampling import replicates
from libra_bench.stats.small import studentised


def mean(sums: np.ndarray) -> dict[str, np.ndarray]:
    with np.errstate(invalid="ignore"):
        return {"mean": sums[..., 0] / sums[..., 1]}


def with_counts(values: np.ndarray) -> np.ndarray:
    return np.stack([values, np.where(np.isnan(values), np.nan, 1.0)], axis=1)


def test_clusters_are_summed_in_whatever_order_their_rows_come() -> None:
    statistics = np.array([[1.0, 1], [2, 1], [4, 1], [np.nan, 1]])
    sums = cluster_sums(statistics, ["b", "a", "b", "a"])
    np.testing.assert_array_equal(sums, [[2, 1], [5, 2]])  # a, then b; the NaN row is absent


def test_clusters_must_fit_the_rows() -> None:
    with pytest.raises(ValueError, match="2 rows for 1"):
        cluster_sums(np.ones((2, 1)), ["a"])


def test_each_replicate_draws_as_many_clusters_as_there_are() -> None:
    sums = np.array([[1.0, 1], [2, 1], [4, 1]])
    drawn = replicates(sums, trials=1300, seed=3)  # more than two chunks
    assert drawn.shape == (1300, 2)
    np.testing.assert_array_equal(drawn[:, 1], 3.0)
    possible = {a + b + c for a in (1, 2, 4) for b in (1, 2, 4) for c in (1, 2, 4)}
    assert set(drawn[:, 0]) == possible
    # Drawing 3 of 3 with replacement: 3 x each has chance 1/27.
    assert abs((drawn[:, 0] == 12).mean() - 1 / 27) < 0.02


def test_a_seed_fixes_the_draws_whatever_stands_beside() -> None:
    sums = np.random.default_rng(0).random((20, 3))
    np.testing.assert_allclose(replicates(sums, 50, 1)[:, :1], replicates(sums[:, :1], 50, 1))
    assert (replicates(sums, 50, 1) != replicates(sums, 50, 2)).any()


def test_draws_do_not_depend_on_how_many_are_made_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So that memory can be bounded, and intervals stay those of one large draw."""
    whole = np.concatenate(list(resampling.counts_by_trial(7, 30, 5)))
    monkeypatch.setattr(resampling, "CELLS", 21)
    parts = list(resampling.counts_by_trial(7, 30, 5))
    assert [len(part) for part in parts] == [3] * 10
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    monkeypatch.setattr(resampling, "CELLS", 1)
    np.testing.assert_array_equal(np.concatenate(list(resampling.counts_by_trial(7, 30, 5))), whole)


def test_interval_of_a_mean_agrees_with_theory() -> None:
    values = np.random.default_rng(0).normal(10, 2, size=400)
    low, high = intervals(with_counts(values), mean, [str(n) for n in range(400)], trials=4000)[
        "mean"
    ]
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.03)
    assert high == pytest.approx(values.mean() + half, abs=0.03)


def test_reports_of_one_patient_do_not_count_as_independent() -> None:
    # Ten copies of each patient's figure hold no more information than one.
    values = np.random.default_rng(0).normal(10, 2, size=60)
    patients = [str(n) for n in range(60)]
    single = intervals(with_counts(values), mean, patients)["mean"]
    repeated = intervals(with_counts(np.repeat(values, 10)), mean, list(np.repeat(patients, 10)))
    assert repeated["mean"] == pytest.approx(single)


def test_unscored_reports_change_nothing() -> None:
    values = np.array([1.0, np.nan, 3.0, 4.0])
    kept = values[~np.isnan(values)]
    assert intervals(with_counts(values), mean, list("abcd")) == intervals(
        with_counts(kept), mean, list("acd")
    )


@pytest.mark.parametrize("values", [[], [np.nan, np.nan], [5.0]])
def test_nothing_to_resample_has_no_interval(values: list[float]) -> None:
    found = intervals(with_counts(np.array(values)), mean, [str(n) for n in range(len(values))])
    assert np.isnan(found["mean"]).all()


def test_a_constant_has_an_interval_of_no_width() -> None:
    assert intervals(with_counts(np.full(9, 7.0)), mean, list("abcdefghi"))["mean"] == (7.0, 7.0)


def test_percentiles_take_the_level_and_are_none_where_a_replicate_is_none() -> None:
    figures = np.arange(101.0)
    assert percentiles(figures, 0.9) == pytest.approx((5.0, 95.0))
    assert np.isnan(percentiles(np.append(figures, np.nan), 0.9)).all()


def test_few_clusters_have_at_least_the_t_interval() -> None:
    # Clusters of one report: the jackknife's error of a mean is s / sqrt(n), and t(.975, 4) 2.776.
    values = np.array([1.0, 2.0, 4.0, 7.0, 11.0])
    low, high = intervals(with_counts(values), mean, list("abcde"))["mean"]
    half = 2.776 * values.std(ddof=1) / np.sqrt(5)
    assert low <= values.mean() - half + 1e-3
    assert high >= values.mean() + half - 1e-3
    # The long side of a skewed sample gets the longer arm.
    assert high - values.mean() > values.mean() - low


def test_few_clusters_agree_with_a_slow_studentised_bootstrap() -> None:
    values = np.array([1.0, 2.0, 4.0, 7.0, 11.0, 5.0])
    rng = np.random.default_rng(4)
    ratios = []
    for _ in range(40_000):
        drawn = rng.choice(values, 6)
        error = drawn.std(ddof=1) / np.sqrt(6)
        if error > 0:
            ratios.append((drawn.mean() - values.mean()) / error)
    below, above = np.quantile(ratios, [0.975, 0.025])
    error = values.std(ddof=1) / np.sqrt(6)
    far = 2.5706  # t(.975, 5)
    expected = (
        values.mean() - max(far, below) * error,
        values.mean() + max(far, -above) * error,
    )
    found = studentised(with_counts(values), mean, trials=40_000, seed=0, level=0.95)["mean"]
    assert found == pytest.approx(expected, rel=0.03)


def test_the_method_changes_with_the_number_of_clusters() -> None:
    values = with_counts(np.random.default_rng(0).normal(size=FEW))
    settings = {"trials": 200, "seed": 0, "level": 0.95}
    many = over_clusters(values, mean, **settings)["mean"]
    assert many == percentiles(mean(replicates(values, 200, 0))["mean"], 0.95)
    few = over_clusters(values[:-1], mean, **settings)["mean"]
    assert few == studentised(values[:-1], mean, **settings)["mean"]


@pytest.mark.parametrize("patients", [5, 10])
def test_few_patients_are_covered_as_promised(patients: int) -> None:
    rng = np.random.default_rng(patients)
    hits = 0
    for seed in range(150):
        values = with_counts(rng.normal(size=patients))
        low, high = studentised(values, mean, trials=200, seed=seed, level=0.95)["mean"]
        hits += low <= 0 <= high
    # 150 draws at .95: fewer than .88 has a chance of 1 in 1,000; percentiles reach .85 and .91.
    assert hits / 150 > 0.88


def test_a_figure_that_needs_one_cluster_has_no_interval() -> None:
    # Only the first cluster has a report of this kind: without it there is no figure.
    sums = np.array([[3.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
    assert np.isnan(over_clusters(sums, mean, trials=50, seed=0, level=0.95)["mean"]).all()


def test_patients_are_clusters_and_unknown_ones_are_their_reports() -> None:
    known = by_patient(["1", "1", "2"], ["a", "b", "c"])
    assert (known.count, known.unit, known.unknown) == (2, "patients", 0)
    mixed = by_patient(["a", None, None], ["x", "a", "b"])
    assert (mixed.count, mixed.unit, mixed.unknown) == (3, "patients and reports", 2)
    assert by_patient([None, None], ["a", "b"]).unit == "reports"


def test_an_id_of_a_report_never_meets_that_of_a_patient() -> None:
    """Patient 1 has reports a and b; of report 1 the patient is unknown: two clusters, not one."""
    found = by_patient(["1", "1", None], ["a", "b", "1"])
    assert (found.count, found.unknown, found.unit) == (2, 1, "patients and reports")
    assert found.labels[0] == found.labels[1] != found.labels[2]
    known = found.of(np.array([True, False, False]))
    assert (known.count, known.unknown, known.unit) == (1, 0, "patients")
    assert found.of(np.array([False, False, True])).unit == "reports"


def test_how_an_interval_is_made_changes_at_fifty_clusters() -> None:
    kinds = ["none", "studentised bootstrap", "studentised bootstrap", "percentile bootstrap"]
    assert [method(count) for count in (1, 2, 49, 50)] == kinds
