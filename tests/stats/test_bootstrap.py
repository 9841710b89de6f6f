"""Bootstrap intervals: against hand-computed sums, theory and a slow bootstrap."""

import numpy as np
import pytest

from libra_bench.stats.bootstrap import intervals, percentiles, replicates
from libra_bench.stats.clusters import cluster_sums


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
