"""Hours, dollars, memory and energy worked out on paper."""

import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from libra_bench.core.errors import InputError
from libra_bench.perf import cost_table
from libra_bench.perf.hardware import Price, find_gpu
from libra_bench.perf.plan import Job, Plan, plan
from libra_bench.perf.projection import Utilisation, Workload
from libra_bench.perf.record import Record
from libra_bench.perf.shape import named
from libra_bench.perf.timing import Repetitions

sys.path.insert(0, str(Path(__file__).resolve().parent))
from small_shape import SMALL

LIBRA = named("libra-7b")
# So little arithmetic that bytes do not count where there are operations; bytes at their peak.
USE = Utilisation(arithmetic=1e-6, bandwidth=1.0, host_seconds_per_layer=0.0)
FLOPS = 154.8e12 * 1e-6
"""Of an RTX A6000, a second."""
BANDWIDTH = 0.768e12
PRICES = [
    Price(gpu="a6000", usd_per_hour=0.5, provider="here", date="2026-01-01", source="the bill")
]


def made(job: Job, *records: Record, use: Utilisation = USE, efficiency: float = 0.9) -> Plan:
    known = {f"{number}.json": one for number, one in enumerate(records)}
    return plan(
        job, ["a6000"], prices=PRICES, scaling_efficiency=efficiency, use=use, records=known
    )


def record(kind: str, settings: dict[str, Any], **changes: Any) -> Record:
    rate = "reports_per_second" if kind == "generation" else "samples_per_second"
    fields: dict[str, Any] = {
        "kind": kind,
        "model": "libra-7b",
        "random_weights": True,
        "shape": asdict(LIBRA),
        "device": "NVIDIA RTX A6000",
        "gpu": "a6000",
        "facts": {"threads": 1, "load_average": 1.0, "cpus": 16},
        "versions": {},
        "commit": None,
        "dtype": "bfloat16",
        "attention": "sdpa",
        "settings": settings,
        "seconds": [2.0],
        "dropped": 0,
        "parts": {},
        "results": {rate: 2.0},
        "gaps": {},
    }
    return Record.model_validate(fields | changes)


def test_stage_2_by_hand() -> None:
    """1,600 samples thrice, batches of 16, rank 128: 3 * 128 * 128 = 49,152 trained weights.

    A sample, FLOPs: two images 82,368; connector 8,536; forward 52,160 + 20 * 49,152 = 1,035,200;
    backward 66,560 + 40 * 49,152 - 20 * (8 * 140 + 16 * 134) = 1,967,360; again 48,960 + 983,040
    - 3 * 20 * 128 * 8 + 65,280 = 1,035,840. Bytes of activations: 10 * (7 * 3 * (240
    + 2 * (64 + 7 * 128)) + 400) = 447,280; of a step's optimizer 28 * 49,152 = 1,376,256.
    """
    job = Job("finetune", samples=1600, shape=SMALL, text=6, epochs={"finetune": 3.0})
    flops = 82_368 + 8_536 + 1_035_200 + 1_967_360 + 1_035_840
    kept = 10 * (7 * 3 * (240 + 2 * (64 + 7 * 128)) + 400)
    seconds = 4_800 * (flops / FLOPS + kept / BANDWIDTH) + 300 * 1_376_256 / BANDWIDTH
    (found,) = made(job).scenarios
    assert found.basis == "projected" and found.hours == pytest.approx(seconds / 3600, rel=1e-9)
    assert found.hours == pytest.approx(0.03557, rel=1e-3)
    assert found.days == pytest.approx(found.hours / 24)
    assert found.cost_usd == pytest.approx(0.5 * found.hours)
    assert found.kilowatt_hours == pytest.approx(0.3 * found.hours)
    # More at a time is the same arithmetic.
    several = made(replace(job, micro_batch=4)).scenarios[0]
    assert several.hours == pytest.approx(found.hours, rel=1e-9)
    once = made(replace(job, epochs={"finetune": 1.0})).scenarios[0]
    assert once.hours == pytest.approx(found.hours / 3)


def test_reports_by_hand() -> None:
    """A study of two beams and 5 tokens, its prior another image; a prefix of 6 + 4.

    Encode 2 * 41,184, connect 8,536, prefill 49,280, 4 steps of 2 * 5,576 at 2.5 suffixes.
    """
    work = Workload(beams=2, new_tokens=5, prompt=6, side_by_side=1)
    (found,) = made(Job("evaluate", samples=3600, shape=SMALL, work=work)).scenarios
    flops = 2 * 41_184 + 8_536 + 49_280 + 4 * 2 * 5_576
    assert found.hours == pytest.approx(flops / FLOPS)
    # 2 * 7,376 of weights, 20 positions of 72, 1,680 of a prefill, 2 * 3 * 4 * 20 of logits.
    memory = 14_752 + (10 + 2 * 5) * 72 + 1_680 + 480
    assert found.memory_gigabytes == pytest.approx(memory / 1e9)


def test_the_host_may_be_the_slowest() -> None:
    """A millisecond a layer: 2 * 4 of the tower, 3 of the connector, 3 of the prefill, 4 * 3."""
    work = Workload(beams=2, new_tokens=5, prompt=6, side_by_side=1)
    slow = Utilisation(arithmetic=1.0, bandwidth=1.0, host_seconds_per_layer=1e-3)
    (found,) = made(Job("evaluate", samples=3600, shape=SMALL, work=work), use=slow).scenarios
    assert found.hours == pytest.approx(0.008 + 0.003 + 0.003 + 0.012)


def test_libra_by_hand_with_what_is_assumed() -> None:
    """1,000 samples of stage 2: the packaged 45 % of 154.8 TFLOP/s and 60 % of 768 GB/s.

    A sample of 1,593 positions: forward 23.40 TFLOP, back 25.58, again 23.09, images 0.61,
    connector 0.19: 72.87, which take 1.046 s at 69.66 TFLOP/s; 79.85 GB of activations take
    0.173 s at 460.8 GB/s, the optimizer 0.001 s. 3,000 times 1.220 s are 1.02 h.
    """
    job = Job("finetune", samples=1000, shape=LIBRA)
    (found,) = plan(job, ["a6000"], prices=PRICES, scaling_efficiency=0.9).scenarios
    assert found.hours == pytest.approx(1.02, abs=0.005)
    assert found.cost_usd == pytest.approx(0.51, abs=0.005)


def test_memory_is_that_of_the_hungrier_stage() -> None:
    stages = {
        task: made(Job(task, samples=100, shape=LIBRA)).scenarios[0].memory_gigabytes
        for task in ("align", "finetune", "both")
    }
    assert stages["align"] != stages["finetune"]
    assert stages["both"] == max(stages["align"], stages["finetune"])


def test_other_passes_over_libras_own_data() -> None:
    """213 h are three passes: 71 h each."""
    job = Job("finetune", samples=None, shape=LIBRA, epochs={"finetune": 2.0})
    (found,) = made(job).scenarios
    assert (found.hours, found.basis) == (pytest.approx(142), "projected")
    (whole,) = made(Job("finetune", samples=None, shape=LIBRA)).scenarios
    assert (whole.hours, whole.basis) == (213, "published")


def test_an_efficiency_of_nothing_is_none() -> None:
    for efficiency in (0.0, -0.1, 1.01):
        with pytest.raises(InputError, match="scaling efficiency"):
            made(Job("align", samples=10, shape=LIBRA), efficiency=efficiency)
    made(Job("align", samples=10, shape=LIBRA), efficiency=1.0)


GENERATION = {
    "engine": "fast",
    "beams": 10,
    "new_tokens": 128,
    "prompt": 96,
    "side_by_side": 8,
    "studies": 8,
    "prior_share": 0.5,
}
TRAINING = {
    "stage": "finetune",
    "batch": 16,
    "micro_batch": 1,
    "prompt": 96,
    "answer": 128,
    "recompute": True,
    "lora_rank": 128,
}


def test_measured_rates_become_hours() -> None:
    """7,200 reports at 2 a second are an hour; so are 2,400 samples in three passes."""
    (found,) = made(
        Job("evaluate", samples=7200, shape=LIBRA), record("generation", GENERATION)
    ).scenarios
    assert (found.hours, found.basis, found.cost_usd) == (1.0, "measured", 0.5)
    assert found.how == "record 0.json"
    (trained,) = made(
        Job("finetune", samples=2400, shape=LIBRA), record("training", TRAINING)
    ).scenarios
    assert (trained.hours, trained.basis) == (1.0, "measured")


@pytest.mark.parametrize(
    ("settings", "changes"),
    [
        # Another batch, numbers in another form, another GPU, another model, and what was measured
        # beside other work are measurements of something else.
        ({"side_by_side": 4}, {}),
        ({"beams": 1}, {}),
        ({"new_tokens": 64}, {}),
        ({"engine": "reference"}, {}),
        ({}, {"dtype": "float32"}),
        ({}, {"gpu": "a100"}),
        ({}, {"gpu": None}),
        ({}, {"shape": asdict(named("libra-3b"))}),
        ({}, {"seconds": [2.0, 3.2]}),
        ({}, {"facts": {"load_average": 25.0, "cpus": 16}}),
    ],
)
def test_a_record_of_other_work_measures_nothing_here(settings: dict, changes: dict) -> None:
    other = record("generation", GENERATION | settings, **changes)
    (found,) = made(Job("evaluate", samples=7200, shape=LIBRA), other).scenarios
    assert found.basis == "projected"


@pytest.mark.parametrize(
    "settings", [{"stage": "align"}, {"batch": 8}, {"micro_batch": 4}, {"recompute": False}]
)
def test_a_record_of_other_training_measures_nothing_here(settings: dict) -> None:
    other = record("training", TRAINING | settings)
    (found,) = made(Job("finetune", samples=2400, shape=LIBRA), other).scenarios
    assert found.basis == "projected"


def test_the_best_of_several_records_counts() -> None:
    slow = record("generation", GENERATION, results={"reports_per_second": 1.0})
    (found,) = made(
        Job("evaluate", samples=7200, shape=LIBRA), slow, record("generation", GENERATION)
    ).scenarios
    assert (found.hours, found.how) == (1.0, "record 1.json")


def test_what_disturbed_means() -> None:
    """The slowest repetition more than 1.5 times the fastest, or more than 1.5 jobs a processor."""
    for seconds, load, said in (
        ([2.0, 3.0], 24.0, False),
        ([2.0, 3.1], 1.0, True),
        ([2.0, 2.0], 24.1, True),
    ):
        facts = {"load_average": load, "cpus": 16}
        one = record("generation", GENERATION, seconds=seconds, facts=facts)
        assert one.disturbed is said
    assert not record("generation", GENERATION, facts={}).disturbed


def test_the_table_of_costs_by_hand() -> None:
    """2 reports a second: 500 s for 1,000, at half a dollar an hour 0.0694; 2,461 take 0.3418 h."""
    known = {"one.json": record("generation", GENERATION), "two.json": record("training", TRAINING)}
    options: dict[str, Any] = {"prices": PRICES, "records": known, "use": USE}
    (row,) = cost_table.evaluation(["a6000"], LIBRA, [Workload()], **options)
    values = {name: one.value for name, one in row.cells.items()}
    assert values["reports_per_second"] == 2
    assert values["test_hours"] == pytest.approx(2461 / 7200)
    assert values["test_usd"] == pytest.approx(0.5 * 2461 / 7200)
    assert values["usd_per_1000"] == pytest.approx(0.5 * 500 / 3600)
    assert {one.basis for one in row.cells.values()} == {"measured"}
    (row,) = cost_table.training(["a6000"], LIBRA, **options)
    assert row.cells["finetune_samples_per_second"].value == 2
    # (385 + 213) h at half a dollar.
    assert (row.cells["usd"].value, row.cells["usd"].basis) == (299, "published")


def test_a_projected_rate_is_of_samples() -> None:
    """Stage 1 of the small shape: 16 samples a step, each with 96 + 128 positions and 4 of images.

    A sample, FLOPs, 228 positions: images 82,368; connector 3 * 8,536 - 32; forward
    3 * (2 * 228 * 576 + 48 * 228^2) + 2 * 228 * 160; back that and 3 * 48 * 228^2; again
    3 * (2 * 228 * 576 + 48 * 228^2) - 3 * 2 * 228 * 96.
    """
    square = 48 * 228**2
    forward = 3 * (2 * 228 * 576 + square) + 2 * 228 * 160
    again = 3 * (2 * 228 * 576 + square) - 3 * 2 * 228 * 96
    flops = 82_368 + 3 * 8_536 - 32 + 2 * forward + 3 * square + again
    kept = 228 * (7 * 720 + 400)
    seconds = flops / FLOPS + kept / BANDWIDTH + 28 * 744 / BANDWIDTH / 16
    (row,) = cost_table.training(["a6000"], SMALL, prices=[], records={}, use=USE)
    found = row.cells["align_samples_per_second"]
    assert found.basis == "projected" and found.value == pytest.approx(1 / seconds, rel=1e-9)


def test_another_batch_takes_the_same_hours_a_sample() -> None:
    """Libra's own data in batches of 32 or 8: the samples are the same, Adam's steps are not."""
    (half,) = made(Job("align", samples=None, shape=LIBRA, batch=8)).scenarios
    (twice,) = made(Job("align", samples=None, shape=LIBRA, batch=32)).scenarios
    assert 0.99 * 385 < twice.hours <= 385 <= half.hours < 1.01 * 385
    assert twice.basis == half.basis == "projected"


def test_a_tenth_of_the_memory_is_kept_back() -> None:
    """48 GB hold 43.2 GB."""
    gpu = find_gpu("a6000")
    assert gpu.holds(43.2e9) and not gpu.holds(43.21e9)


def test_the_time_of_several_repetitions_is_their_median() -> None:
    assert Repetitions(seconds=[1.0, 2.0, 9.0]).median == 2
