"""The gate's test: one-sided, beyond a margin, clusters exchanged whole."""

import itertools

import numpy as np
import pytest

from libra_bench.stats.change import Change, changes


def mean(sums: np.ndarray) -> dict[str, np.ndarray]:
    return {"mean": sums[..., 0] / sums[..., 1]}


def change(gaps: np.ndarray, *, margin: float = 0.0, higher: bool = True, **more: object) -> Change:
    values = np.random.default_rng(1).normal(50, 10, len(gaps))
    first, second = (np.stack([one, np.ones(len(gaps))], axis=1) for one in (values, values + gaps))
    settings = {"trials": 4000, "seed": 0, "level": 0.95, **more}
    labels = settings.pop("labels", [str(n) for n in range(len(gaps))])
    return changes(
        first,
        second,
        mean,
        labels,
        higher_is_better={"mean": higher},
        margins={"mean": margin},
        **settings,
    )["mean"]


GAPS = np.array([-0.5, -1.0, 0.2, -0.8, -0.4, -0.9, 0.1, -0.3])


def enumerated(observed: float) -> float:
    """The share of all sign changes whose mean is as low as `observed`."""
    means = [(GAPS * signs).mean() for signs in itertools.product((1, -1), repeat=len(GAPS))]
    return float(np.mean(np.array(means) <= observed + 1e-9))


@pytest.mark.parametrize("margin", [0.0, 0.2, 0.45])
def test_p_is_the_share_of_exchanges_beyond_the_margin(margin: float) -> None:
    found = change(GAPS, margin=margin)
    assert found.difference == pytest.approx(-0.45)
    assert found.p_worse == pytest.approx(enumerated(-0.45 + margin), abs=0.015)
    # The other side: -0.45 lies far below +margin.
    assert found.p_better > 0.95


def test_lower_is_better_turns_the_sides() -> None:
    one, two = change(GAPS), change(GAPS, higher=False)
    assert two.p_better == pytest.approx(one.p_worse, abs=0.01)
    assert two.p_worse == pytest.approx(one.p_better, abs=0.01)
    assert (two.low, two.high) == (one.low, one.high)


def test_no_difference_is_certain() -> None:
    found = change(np.zeros(60))
    assert (found.p_worse, found.p_better) == (1.0, 1.0)
    assert max(abs(found.low), abs(found.high)) < 1e-9


def test_what_is_unchanged_is_the_same_though_resamples_have_no_figure() -> None:
    """One cluster of six holds all that the figure divides by: many resamples have none of it."""
    values = np.array([[1.0, 2.0], *[[0.0, 0.0]] * 5])

    def share(sums: np.ndarray) -> dict[str, np.ndarray]:
        with np.errstate(invalid="ignore"):
            return {"share": np.asarray(sums[..., 0] / sums[..., 1])}

    settings = {"higher_is_better": {"share": True}, "margins": {}, "trials": 500, "seed": 0}
    labels = [str(n) for n in range(6)]
    found = changes(values, values, share, labels, level=0.95, **settings)["share"]
    assert (found.first, found.difference, found.low, found.high) == (0.5, 0.0, 0.0, 0.0)
    moved = changes(values, values * [0.5, 1.0], share, labels, level=0.95, **settings)["share"]
    assert np.isnan(moved.low) and np.isnan(moved.high)


def test_a_constant_fall_is_found_at_once() -> None:
    found = change(np.full(60, -1.0))
    assert found.p_worse == 1 / 4001


def test_patients_are_exchanged_whole() -> None:
    # Twenty reports of each of three patients are three coins: all three fall with chance 1/8.
    found = change(np.full(60, -1.0), labels=list(np.repeat(["x", "y", "z"], 20)))
    assert found.p_worse == pytest.approx(1 / 8, abs=0.02)


def test_few_clusters_do_not_claim_to_be_the_same() -> None:
    # t(.975, 2) = 4.303: mean -0.1, s 0.02, error 0.02 / sqrt(3).
    found = change(np.array([-0.08, -0.1, -0.12]))
    assert found.low <= -0.1 - 4.303 * 0.02 / np.sqrt(3) + 1e-6
    assert found.high >= 0.0


def test_one_patient_is_no_comparison() -> None:
    with pytest.raises(ValueError, match="1 clusters"):
        change(np.ones(3), labels=["x"] * 3)


def test_alarms_are_as_frequent_as_stated() -> None:
    rng = np.random.default_rng(5)
    alarms = sum(
        change(rng.normal(size=12), trials=200, seed=seed).p_worse <= 0.05 for seed in range(300)
    )
    # 300 draws at .05: more than 27 has a chance of 1 in 500.
    assert alarms <= 27


def test_few_clusters_have_no_narrower_interval_than_students() -> None:
    """Eight gaps of -1 and 1: s = sqrt(8 / 7), so the t interval reaches 2.365 * s / sqrt(8), which
    is 0.894, to both sides, where exchanges alone reach 1.96 * sqrt(8) / 8 = 0.693."""
    found = change(np.tile([-1.0, 1.0], 4))
    assert found.high >= 0.893 and found.low <= -0.893
    # Of 64 gaps only exchanges count: 1.96 / 8.
    many = change(np.tile([-1.0, 1.0], 32))
    assert many.high == pytest.approx(1.96 / 8, abs=0.02)
