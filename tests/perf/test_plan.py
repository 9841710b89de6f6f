"""Plans: the guide's arithmetic, projections by hand, recommendations, bad input."""

import pytest

from libra_bench.core.errors import InputError
from libra_bench.perf import plan as planning
from libra_bench.perf import scenario as scenarios
from libra_bench.perf.count import Cost
from libra_bench.perf.hardware import Price, find_gpu, read_prices
from libra_bench.perf.plan import Job, Plan, plan
from libra_bench.perf.projection import Utilisation, Workload, generation, project, total
from libra_bench.perf.shape import named

USE = Utilisation(arithmetic=0.5, bandwidth=0.5, host_seconds_per_layer=0.0)
SHAPE = named("libra-7b")


def priced(**usd: float) -> list[Price]:
    return [
        Price(
            gpu=name.replace("_", "-"),
            usd_per_hour=value,
            provider="here",
            date="2026-01-01",
            source="the bill",
        )
        for name, value in usd.items()
    ]


def made(job: Job, gpus: tuple[str, ...] = ("a6000", "h100-sxm"), count: int = 1, **usd) -> Plan:
    prices = priced(**(usd or {"a6000": 0.5, "h100_sxm": 2.98}))
    return plan(job, gpus, count=count, prices=prices, scaling_efficiency=0.9, use=USE)


def test_the_guide() -> None:
    """385 + 213 = 598 h; 598 · 0.50 = 299; 598 / 5.93 / 24 = 4.2 days; · 2.98 = 300.5 USD."""
    guide = scenarios.named("guide")
    slow, quick = guide.scenarios
    assert (slow.hours, slow.cost_usd, slow.basis) == (598, 299, "published")
    assert quick.days == pytest.approx(4.2, abs=0.01)
    assert quick.cost_usd == pytest.approx(300.5, abs=0.05)
    assert quick.basis == "projected"
    assert guide.break_even_speedup == pytest.approx(2.98 / 0.5)
    # 5.93 is below the break-even of 5.96: the H100 does not save money.
    assert quick.speedup == pytest.approx(5.93) and quick.speedup < guide.break_even_speedup
    assert guide.recommendation().startswith("RTX A6000 is the cheapest")
    assert any("claim" in premise for premise in guide.assumes)


def test_the_json_form_is_the_promised_one() -> None:
    brief = scenarios.guide().brief()
    assert set(brief) == {"scenarios", "break_even_speedup"}
    for one in brief["scenarios"]:
        assert list(one) == ["gpu", "gpus", "hours", "days", "cost_usd", "basis"]


def test_the_longest_of_three_times_counts() -> None:
    gpu = find_gpu("h100-sxm")
    use = Utilisation(0.5, 0.5, 1e-3)
    flops, moved = gpu.flops, gpu.bandwidth
    assert project(Cost(flops, moved / 4), gpu, use).bound == "arithmetic"
    assert project(Cost(flops, moved / 4), gpu, use).seconds == pytest.approx(2)
    assert project(Cost(flops / 4, moved), gpu, use).bound == "bandwidth"
    part = project(Cost(1, 1), gpu, use, launches=32)
    assert (part.bound, part.seconds) == ("host", pytest.approx(0.032))


def test_training_follows_arithmetic_and_decoding_bandwidth() -> None:
    """6.4 times in FLOP/s, 4.4 times in bandwidth: no one factor between two GPUs."""
    job = Job("finetune", samples=1000, shape=SHAPE)
    # Between the two: products by arithmetic, passes over activations by bandwidth.
    assert 5.5 < made(job).scenarios[1].speedup < 6.2
    parts = [
        generation(SHAPE, find_gpu(name), Workload(side_by_side=1), USE)
        for name in ("a6000", "h100-sxm")
    ]
    assert parts[0]["decode"].bound == "bandwidth"
    assert parts[0]["decode"].seconds / parts[1]["decode"].seconds == pytest.approx(3.35 / 0.768)
    assert 4.3 < total(parts[0]) / total(parts[1]) < 6.4


def test_gpus_scale_by_their_efficiency() -> None:
    job = Job("align", samples=1600, shape=SHAPE)
    one, four = made(job).scenarios[0], made(job, count=4).scenarios[0]
    assert four.hours == pytest.approx(one.hours / 3.6)
    # Four GPUs are paid for: less efficient is dearer.
    assert four.cost_usd == pytest.approx(one.cost_usd / 0.9)
    assert four.kilowatt_hours == pytest.approx(one.kilowatt_hours / 0.9)
    assert four.label == "4 × RTX A6000"


def test_stages_add_up() -> None:
    both = made(Job("both", samples=100, shape=SHAPE)).scenarios[0].hours
    parts = [
        made(Job(name, samples=100, shape=SHAPE)).scenarios[0].hours for name in planning.EPOCHS
    ]
    assert both == pytest.approx(sum(parts))


def test_what_does_not_fit_is_not_recommended() -> None:
    large = Job("finetune", samples=100, shape=SHAPE, micro_batch=16, recompute=False)
    slow, quick = made(large, gpus=("a6000", "h200"), a6000=0.1, h200=9.0).scenarios
    assert slow.fits is False and slow.memory_gigabytes == quick.memory_gigabytes
    assert slow.memory_gigabytes > 48
    # What cannot be run takes no hours and costs nothing that could be told.
    assert (slow.hours, slow.days, slow.cost_usd, slow.kilowatt_hours) == (None,) * 4
    assert "RTX A6000 has 48" in slow.gaps[0] and quick.speedup is None
    small = Job("finetune", samples=100, shape=SHAPE)
    assert all(one.fits for one in made(small).scenarios)
    assert "None of these" in made(large, gpus=("a6000",)).recommendation()


def test_a_gpu_without_a_price_has_no_cost_and_says_so() -> None:
    job = Job("evaluate", samples=10, shape=SHAPE)
    found = made(job, a6000=0.5)
    assert found.scenarios[1].cost_usd is None and found.break_even_speedup is None
    assert "no price of H100 SXM" in found.scenarios[1].gaps[0]
    assert "cheapest" in found.recommendation()


def test_the_faster_and_cheaper_one_is_recommended() -> None:
    job = Job("align", samples=1600, shape=SHAPE)
    found = made(job, a6000=1.0, h100_sxm=2.0)
    assert found.recommendation().startswith("H100 SXM: none of these is cheaper")
    assert found.scenarios[1].speedup > found.break_even_speedup


@pytest.mark.parametrize(
    ("changes", "count", "message"),
    [
        ({"batch": 16}, 17, "17 GPUs for a batch of 16"),
        ({"batch": 16, "micro_batch": 8}, 4, "micro-batches of 8 exceed"),
        ({"samples": 0}, 1, "0 samples"),
        ({"samples": 5, "task": "evaluate"}, 6, "6 GPUs for 5 reports"),
        ({"epochs": {"align": 0.0}}, 1, "epochs must be positive"),
        ({"epochs": {"align": float("nan")}}, 1, "epochs must be positive"),
        ({"epochs": {"align": float("inf")}}, 1, "epochs must be positive"),
        ({"task": "pretrain"}, 1, "unknown task"),
        ({}, 0, "0 GPUs"),
    ],
)
def test_what_cannot_be_planned(changes: dict, count: int, message: str) -> None:
    job = Job(**({"task": "align", "samples": 10, "shape": SHAPE} | changes))
    with pytest.raises(InputError, match=message):
        made(job, count=count)


def test_all_faults_of_a_plan_are_listed() -> None:
    job = Job("align", samples=0, shape=SHAPE)
    with pytest.raises(InputError) as error:
        plan(job, ["a6000"], count=20, prices=read_prices(), scaling_efficiency=1.5)
    for part in ("0 samples", "20 GPUs", "efficiency 1.5"):
        assert part in str(error.value)
    with pytest.raises(InputError, match="Did you mean 'guide'"):
        scenarios.named("gide")


def test_no_gpu_is_refused_and_one_named_twice_counts_once() -> None:
    job = Job("evaluate", samples=10, shape=SHAPE)
    with pytest.raises(InputError, match="no GPU was named"):
        made(job, gpus=())
    assert len(made(job, gpus=("a6000", "RTX A6000")).scenarios) == 1


def test_libras_own_data_takes_the_published_hours() -> None:
    slow, quick = made(Job("both", samples=None, shape=SHAPE)).scenarios
    assert (slow.hours, slow.basis) == (385 + 213, "published")
    assert quick.basis == "projected" and 598 / 6.4 < quick.hours < 598 / 5.5
    twice = made(Job("align", samples=None, shape=SHAPE, epochs={"align": 2.0})).scenarios[0]
    assert twice.hours == pytest.approx(770) and twice.basis == "projected"
    # Another way of training is another time.
    kept = made(Job("align", samples=None, shape=SHAPE, recompute=False)).scenarios[0]
    assert kept.hours < 385 and kept.basis == "projected"


def test_hours_on_several_gpus_are_never_called_measured_or_published() -> None:
    job = Job("align", samples=None, shape=SHAPE)
    two = made(job, count=2).scenarios[0]
    assert two.hours == pytest.approx(385 / 1.8) and two.basis == "projected"
    assert "from published hours of one" in two.how


def test_gpus_that_do_not_share_the_batch_evenly_wait_for_the_fullest() -> None:
    """16 samples on 3 GPUs: one has 6, so 16 / 6 GPUs are at work; times 0.9 is 2.4."""
    job = Job("align", samples=1600, shape=SHAPE)
    one, three = made(job).scenarios[0], made(job, count=3)
    assert three.scenarios[0].hours == pytest.approx(one.hours / 2.4)
    assert any("not shared evenly" in premise for premise in three.assumes)
