"""Measuring on a CPU: counts of calls, raw timings, clocks that jump, records on disk."""

import json
from pathlib import Path

import pytest
import torch

from libra_bench.core.errors import InputError, RunError
from libra_bench.generation.protocols import protocol
from libra_bench.perf import cells, cost_table, measure_generation, measure_training, timing
from libra_bench.perf.count import Cost
from libra_bench.perf.hardware import find_gpu, gpus, read_prices
from libra_bench.perf.measuring import Effort, Subject, rates, use_attention
from libra_bench.perf.nvml import PowerMeter
from libra_bench.perf.projection import Utilisation, Workload
from libra_bench.perf.random_model import build
from libra_bench.perf.record import Record, read_folder, write
from libra_bench.perf.shape import named

CPU = torch.device("cpu")
QUICK = Effort(repetitions=2, seconds=0.0, warm_up=0)
NOWHERE = {"versions": {}, "commit": None}


def subject() -> Subject:
    return Subject(build(named("micro")), "micro", True, [2], 0)


def generation(engine: str = "fast", **changes) -> Record:
    settings = {"tokens": 5, "studies": 3, "side_by_side": 2, "effort": QUICK} | changes
    return measure_generation.measure(
        subject(),
        protocol("libra-paper", num_beams=2),
        engine=engine,
        environment=NOWHERE,
        **settings,
    )


def test_parts_are_called_as_often_as_the_engine_works() -> None:
    fast, slow = generation(), generation("reference")
    # Three studies, one of which has a prior: the fast engine encodes four images, one by one.
    assert {name: len(times) for name, times in fast.parts.items()} == {
        "encode": 4,
        "connect": 3,
        "prefill": 3,
        # 2 and 2 studies side by side, then the third alone: 4 steps each.
        "decode": 8,
    }
    assert {name: len(times) for name, times in slow.parts.items()} == {
        "encode": 6,
        "connect": 3,
        "prefill": 3,
        "decode": 12,
    }
    assert slow.settings["side_by_side"] == 1


def test_figures_follow_from_the_raw_timings() -> None:
    record = generation()
    results, whole = record.results, sum(record.seconds) / 2
    assert len(record.seconds) == 2
    assert results["reports_per_second"] == pytest.approx(3 / whole)
    # Tokens of the delivered beam only.
    assert results["tokens_per_second"] == pytest.approx(5 * results["reports_per_second"])
    firsts = [results[f"first_token_{part}"] for part in ("encode", "connect", "prefill")]
    assert results["first_token"] == pytest.approx(sum(firsts))
    assert results["seconds_per_report_p50"] <= results["seconds_per_report_p90"]
    assert results["outside_the_model"] < whole
    assert results["mfu"] is None and "table of GPUs" in record.gaps["mfu"]
    assert results["joules_per_report"] is None and "NVML" in record.gaps["joules_per_report"]
    # Raw timings of every repetition: how long each report took, and every part.
    assert [len(times) for times in record.latencies] == [3, 3]
    assert max(record.latencies[1]) <= record.seconds[1]
    assert len(record.part_seconds) == 2
    assert record.part_seconds[-1] == {name: sum(t) for name, t in record.parts.items()}
    assert record.facts["effort"] == {"repetitions": 2, "seconds": 0.0, "warm_up": 0}


def test_one_token_has_no_decode_step() -> None:
    record = generation(tokens=1)
    assert record.results["decode_step"] is None and "decode_step" in record.gaps


@pytest.mark.parametrize("stage", ["align", "finetune"])
def test_a_training_step_learns_what_its_stage_trains(stage: str) -> None:
    measured = subject()
    tower = measured.model.vision_tower.state_dict()
    before = {name: one.clone() for name, one in tower.items()}
    head = measured.model.language_model.lm_head.weight.clone()
    start = measured.model.connector.mlp_final[0].weight.clone()
    record = measure_training.measure(
        measured, stage, batch=4, micro_batch=2, rank=4, answer=8, effort=QUICK, environment=NOWHERE
    )
    assert {name: len(times) for name, times in record.parts.items()} == {
        "forward": 2,
        "backward": 2,
        "optimizer": 1,
    }
    assert record.results["samples_per_second"] == pytest.approx(4 / (sum(record.seconds) / 2))
    assert torch.equal(measured.model.language_model.lm_head.weight, head)
    assert all(torch.equal(one, before[name]) for name, one in tower.items())
    moved = not torch.equal(measured.model.connector.mlp_final[0].weight, start)
    assert moved == (stage == "align")
    adapters = [
        one for name, one in measured.model.named_parameters() if name.endswith("B.default.weight")
    ]
    assert len(adapters) == (0 if stage == "align" else 7 * 2)
    assert all(one.abs().sum() > 0 for one in adapters)


def test_another_trainer_can_take_the_step() -> None:
    class Trainer:
        seen = 0

        def step(self, batch, spans) -> float:
            self.seen += len(batch.input_ids)
            return 0.0

    trainer = Trainer()
    measure_training.measure(
        subject(), "align", batch=4, effort=QUICK, environment=NOWHERE, stepper=trainer
    )
    assert trainer.seen == 8


def test_enough_repetitions_and_enough_seconds() -> None:
    ticks = iter(range(1000))

    def clock() -> float:
        return float(next(ticks)) / 2

    found = timing.repeat(
        lambda: None, CPU, repetitions=2, min_seconds=5, warm_up=0, clock=clock, wall=clock
    )
    # Both clocks take turns, so that a repetition lasts two ticks: one second.
    assert found.seconds == [1.0] * 5


def test_a_clock_that_jumps_costs_its_repetition() -> None:
    steady = iter([0.0, 1.0, 1.0, 2.0, 2.0, 3.0])
    set_back = iter([0.0, 1.0, 1.0, -3600.0, 2.0, 3.0])
    found = timing.repeat(
        lambda: None,
        CPU,
        repetitions=2,
        min_seconds=0,
        warm_up=0,
        clock=lambda: next(steady),
        wall=lambda: next(set_back),
    )
    assert (found.seconds, found.dropped) == ([1.0, 1.0], 1)


def test_clocks_that_never_agree_are_an_error() -> None:
    steady, fast = iter(range(100)), iter(range(0, 1000, 10))
    with pytest.raises(RunError, match="clocks disagree"):
        timing.repeat(
            lambda: None,
            CPU,
            repetitions=3,
            min_seconds=0,
            warm_up=0,
            clock=lambda: float(next(steady)),
            wall=lambda: float(next(fast)),
        )


def test_no_nvml_is_a_reason() -> None:
    meter = PowerMeter(CPU)
    assert meter.joules() is None and "no NVML" in str(meter.facts()["nvml"])


def test_utilisation_against_a_known_gpu() -> None:
    gpu = gpus()["h100-sxm"]
    needed = Cost(gpu.flops / 4)
    values, gaps = rates("h100-sxm", "bfloat16", 1.0, needed=needed, done=Cost(gpu.flops / 2, 0))
    assert (values["mfu"], values["hfu"]) == (0.25, 0.5) and not gaps
    values, gaps = rates("h100-sxm", "float32", 1.0, needed=needed, done=needed)
    assert values["mfu"] is None and "bfloat16" in gaps["mfu"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"engine": "fats"}, "Did you mean 'fast'"), ({"tokens": 0}, "at least 1")],
)
def test_what_cannot_be_measured(changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        generation(**changes)


def test_training_refuses_uneven_batches_and_unknown_attention() -> None:
    with pytest.raises(InputError, match="micro-batches of 3"):
        measure_training.measure(subject(), "align", batch=4, micro_batch=3, environment=NOWHERE)
    with pytest.raises(InputError, match="Did you mean 'sdpa'"):
        use_attention(subject().model, "spda")
    with pytest.raises(InputError, match="needs a GPU and bfloat16"):
        use_attention(subject().model, "flash_attention_2")


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1.0])
def test_an_effort_without_an_end_is_refused(seconds: float) -> None:
    with pytest.raises(InputError, match="seconds"):
        Effort(seconds=seconds)


def test_more_tokens_than_the_model_has_positions_are_refused() -> None:
    # 95 + 64 patches + 4,000 is above 4,096.
    with pytest.raises(InputError, match="4159 positions, micro has 4096"):
        generation(tokens=4000)
    with pytest.raises(InputError, match="has 4096"):
        measure_training.measure(subject(), "align", answer=4000, environment=NOWHERE)


def test_matrices_that_the_shape_does_not_explain_are_refused() -> None:
    measured = subject()
    layer = measured.model.language_model.model.layers[0]
    layer.another = torch.nn.Linear(2, 3, bias=False)
    with pytest.raises(InputError, match="operations of a llama are not counted"):
        measured.counted_shape(10)


def as_h100(record: Record, **results: float) -> Record:
    """A record as an H100 with Libra-7B's shape would have left it."""
    shape = {**record.shape, **vars(named("libra-7b"))}
    settings = record.settings | {"beams": 10, "new_tokens": 128, "side_by_side": 8}
    return record.model_copy(
        update={
            "gpu": "h100-sxm",
            "shape": shape,
            "settings": settings,
            "dtype": "bfloat16",
            # Whatever else ran on this machine.
            "seconds": [1.0],
            "facts": record.facts | {"load_average": 0.0},
            "results": record.results | results,
        }
    )


def test_records_replace_projections_where_they_fit(tmp_path: Path) -> None:
    record = generation()
    write(as_h100(record, reports_per_second=2.5), tmp_path / "slow.json")
    write(as_h100(record, reports_per_second=3.5), tmp_path / "quick.json")
    rows = cost_table.evaluation(
        ["h100-sxm", "a6000"],
        named("libra-7b"),
        [Workload(), Workload(engine="reference")],
        prices=read_prices(),
        records=read_folder(tmp_path),
        use=Utilisation.assumed(),
    )
    cell = rows[0].cells["reports_per_second"]
    assert (cell.value, cell.basis, cell.how) == (3.5, "measured", "record quick.json")
    # Dollars and hours of a measured rate are measured as well: 2,461 reports at 3.5 a second.
    assert rows[0].cells["test_hours"].value == pytest.approx(2461 / 3.5 / 3600)
    assert rows[0].cells["test_usd"].basis == "measured"
    assert {row.cells["reports_per_second"].basis for row in rows[1:]} == {"projected"}


def test_what_does_not_fit_has_no_rate_and_says_why() -> None:
    rows = cost_table.evaluation(
        ["a6000"],
        named("libra-7b"),
        [Workload(side_by_side=64)],
        prices=read_prices(),
        records={},
        use=Utilisation.assumed(),
    )
    for cell in rows[0].cells.values():
        assert cell.value is None and cell.basis is None and "RTX A6000 has 48" in cell.how


def test_training_hours_of_an_a6000_are_the_published_ones() -> None:
    rows = cost_table.training(
        ["a6000", "h100-sxm"],
        named("libra-7b"),
        prices=[],
        records={},
        use=Utilisation.assumed(),
    )
    home, other = (row.cells for row in rows)
    assert (home["align_hours"].value, home["finetune_hours"].value) == (385, 213)
    assert home["align_hours"].basis == "published"
    assert other["align_hours"].basis == "projected"
    # Slower than arithmetic alone would have it: passes over activations are bound by bandwidth.
    ratio = find_gpu("h100-sxm").flops / find_gpu("a6000").flops
    assert 1.02 < other["align_hours"].value / (385 / ratio) < 1.2
    assert "activations bandwidth-bound" in other["align_hours"].how
    # No price: the cell is empty and says why, never zero.
    assert home["usd"].value is None and "no price" in home["usd"].how
    assert cells.text(home["usd"]) == "–"
    assert len(cost_table.gaps(rows)) == 2
    small = cost_table.training(
        ["a6000"], named("libra-3b"), prices=[], records={}, use=Utilisation.assumed()
    )
    assert small[0].cells["align_hours"].value < 385
    assert small[0].cells["align_hours"].basis == "projected"


def test_files_that_are_no_records_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        read_folder(tmp_path / "absent")
    (tmp_path / "one.json").write_text(json.dumps({"kind": "generation"}))
    with pytest.raises(InputError, match=r"one\.json: model"):
        read_folder(tmp_path)
