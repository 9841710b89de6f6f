"""Paired tests, corrections and effect sizes, against enumeration and hand-worked tables."""

import itertools
import math

import numpy as np
import pytest

from libra_bench.stats.effect import paired_effect
from libra_bench.stats.multiple import benjamini_hochberg, holm
from libra_bench.stats.paired import differences


def mean(sums: np.ndarray) -> dict[str, np.ndarray]:
    with np.errstate(invalid="ignore"):
        return {"mean": sums[..., 0] / sums[..., 1]}


def with_counts(values: list[float] | np.ndarray) -> np.ndarray:
    values = np.asarray(values, dtype=float)
    return np.stack([values, np.where(np.isnan(values), np.nan, 1.0)], axis=1)


def names(count: int) -> list[str]:
    return [str(n) for n in range(count)]


def test_randomisation_agrees_with_all_exchanges() -> None:
    first = np.array([1.0, 2, 3, 4, 5, 6, 7, 8])
    gaps = np.array([0.5, 1.0, -0.2, 0.8, 0.4, 0.9, -0.1, 0.3])
    observed = abs(gaps.mean())
    exchanges = [
        abs((gaps * signs).mean()) >= observed - 1e-9
        for signs in itertools.product((1, -1), repeat=8)
    ]
    found = differences(with_counts(first), with_counts(first + gaps), mean, names(8))["mean"]
    assert found.p == pytest.approx(np.mean(exchanges), abs=0.01)
    assert found.difference == pytest.approx(gaps.mean())
    assert found.low < gaps.mean() < found.high


def test_the_smallest_p_value_is_one_over_trials_plus_one() -> None:
    first = np.arange(40.0)
    found = differences(with_counts(first), with_counts(first + 5), mean, names(40), trials=99)
    assert found["mean"].p == pytest.approx(1 / 100)
    assert (found["mean"].low, found["mean"].high) == pytest.approx((5, 5))


def test_equal_systems_do_not_differ() -> None:
    same = with_counts(np.arange(10.0))
    found = differences(same, same, mean, names(10), trials=50)["mean"]
    assert (found.p, found.difference) == (1.0, 0.0)


def test_exchanging_the_systems_turns_the_sign_and_keeps_p() -> None:
    rng = np.random.default_rng(1)
    a, b = with_counts(rng.normal(0, 1, 50)), with_counts(rng.normal(0.3, 1, 50))
    one, two = (differences(x, y, mean, names(50))["mean"] for x, y in ((a, b), (b, a)))
    assert one.difference == pytest.approx(-two.difference)
    assert (one.low, one.high) == pytest.approx((-two.high, -two.low))
    assert one.p == pytest.approx(two.p)


def test_patients_are_exchanged_whole() -> None:
    # Ten copies of three patients are three coins: p can not fall below 2 / 2**3.
    first = np.repeat([1.0, 2.0, 3.0], 10)
    patients = list(np.repeat(["x", "y", "z"], 10))
    found = differences(with_counts(first), with_counts(first + 1), mean, patients, trials=2000)
    assert found["mean"].p == pytest.approx(0.25, abs=0.03)


def test_no_false_alarms_beyond_the_level() -> None:
    rng = np.random.default_rng(0)
    p_values = []
    for _ in range(200):
        a, b = with_counts(rng.normal(size=30)), with_counts(rng.normal(size=30))
        p_values.append(differences(a, b, mean, names(30), trials=200)["mean"].p)
    assert np.mean(np.array(p_values) <= 0.05) < 0.1
    assert 0.4 < np.mean(p_values) < 0.6


def test_rows_that_either_left_unscored_are_left_out_of_both() -> None:
    a, b = with_counts([1, np.nan, 3, 4]), with_counts([2, 2, np.nan, 6])
    found = differences(a, b, mean, names(4), trials=20)["mean"]
    assert (found.first, found.second) == (2.5, 4.0)


def test_one_patient_gives_a_difference_without_a_test() -> None:
    found = differences(with_counts([1, 2]), with_counts([2, 4]), mean, ["x", "x"])["mean"]
    assert found.difference == 1.5
    assert all(math.isnan(value) for value in (found.p, found.low, found.high))


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="shapes"):
        differences(np.ones((2, 2)), np.ones((3, 2)), mean, names(2))


def test_ten_thousand_trials_over_a_test_set() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((2461, 60)), rng.random((2461, 60))

    def ratios(sums: np.ndarray) -> dict[str, np.ndarray]:
        return {str(k): sums[..., k] / sums[..., k + 30] for k in range(30)}

    assert len(differences(a, b, ratios, names(2461), trials=10_000)) == 30


def test_holm_by_hand() -> None:
    # .01 x 4, then .02 x 3 = .06, .03 x 2 = .06, .04 x 1 held up by .06.
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])


def test_benjamini_hochberg_by_hand() -> None:
    # .01 x 4/1, .02 x 4/2, .03 x 4/3, .04 x 4/4: the last bounds them all.
    assert benjamini_hochberg([0.03, 0.01, 0.04, 0.5]) == pytest.approx(
        [0.16 / 3, 0.04, 0.16 / 3, 0.5]
    )


@pytest.mark.parametrize("correct", [holm, benjamini_hochberg])
def test_corrections_leave_out_what_was_not_tested(correct) -> None:
    assert correct([]) == []
    assert correct([0.2]) == [0.2]
    found = correct([math.nan, 0.9, 0.9])
    assert math.isnan(found[0])
    assert max(found[1:]) <= 1


def test_effect_sizes_by_hand() -> None:
    # Gaps 1, 2, 3: mean 2, standard deviation 1.
    found = paired_effect(np.zeros(4), np.array([1.0, 2.0, 3.0, np.nan]))
    assert (found.standardised, found.superiority) == (2.0, 1.0)
    assert paired_effect(np.zeros(4), np.array([1.0, -1.0, 0.0, 0.0])).superiority == 0.5


def test_effect_sizes_without_spread() -> None:
    values = np.arange(4.0)
    assert paired_effect(values, values).standardised == 0.0
    assert paired_effect(values, values + 1).standardised == math.inf
    assert math.isnan(paired_effect(values[:1], values[:1]).standardised)


def test_an_effect_is_a_mean_over_its_spread() -> None:
    """Differences 1, 3 and 8: mean 4, variance (9 + 1 + 16) / 2 = 13."""
    found = paired_effect(np.array([1.0, 1.0, 1.0]), np.array([2.0, 4.0, 9.0]))
    assert found.standardised == pytest.approx(4 / 13**0.5)
