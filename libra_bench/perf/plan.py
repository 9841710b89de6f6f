"""From a dataset, a stage and GPUs to days, dollars, memory and energy, and which GPU to take."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from libra_bench.core.errors import InputError
from libra_bench.core.files import listing
from libra_bench.core.names import unknown_name
from libra_bench.perf import count_training, projection
from libra_bench.perf.cells import Basis, Cell, measured, no_room, training_hours
from libra_bench.perf.hardware import Gpu, Price, find_gpus, price_of, table
from libra_bench.perf.projection import Utilisation, Workload
from libra_bench.perf.record import Record
from libra_bench.perf.scenario import Plan, Scenario, against_first, scenario
from libra_bench.perf.shape import ModelShape

TASKS = ("align", "finetune", "both", "evaluate")
HOUR = 3600
EPOCHS = {"align": 1.0, "finetune": 3.0}
"""Libra's own."""


@dataclass(frozen=True)
class Job:
    """What is to be done.

    Attributes:
        task: `align`, `finetune`, `both` (each over all samples) or `evaluate`.
        samples: training samples, or reports to write; None: Libra's own, whose training took the
            published hours, or the published test set.
        epochs: passes over the samples, by stage; evaluation has one.
        batch: samples of an optimizer step, over all GPUs.
        micro_batch: samples on a GPU at a time.
        text: positions of prompt and answer without the image.
    """

    task: str
    samples: int | None
    shape: ModelShape
    epochs: dict[str, float] = field(default_factory=EPOCHS.copy)
    batch: int = 16
    micro_batch: int = 1
    text: int = 224
    recompute: bool = True
    work: Workload = field(default_factory=Workload)

    @property
    def stages(self) -> tuple[str, ...]:
        """Stages of training; none for evaluation."""
        if self.task == "both":
            return count_training.STAGES
        return () if self.task == "evaluate" else (self.task,)


def plan(
    job: Job,
    names: Sequence[str],
    *,
    count: int = 1,
    prices: list[Price],
    scaling_efficiency: float,
    use: Utilisation | None = None,
    records: dict[str, Record] | None = None,
) -> Plan:
    """Scenarios for a job on `count` GPUs of each kind; the first kind is the baseline.

    Args:
        names: of the GPUs.
        scaling_efficiency: N GPUs do the work of N × this; one GPU does its own.
        use: utilisations of the projection; the packaged ones if None.
        records: measurements; those of the same shape, GPU and work replace the projection.

    Raises:
        InputError: unknown names, numbers that make no sense, more GPUs than the batch has
            samples; all are listed.
    """
    chosen = find_gpus(names)
    _check(job, count, scaling_efficiency)
    use = use or Utilisation.assumed()
    factor = 1.0 if count == 1 else _share(job, count) * scaling_efficiency
    made: list[Scenario] = []
    for gpu in chosen:
        needed = _memory(job)
        if gpu.holds(needed):
            hours = _scaled(_hours(job, gpu, use, records or {}), count, factor)
        else:
            hours = Cell(None, None, no_room("this job", needed, gpu))
        made.append(scenario(gpu, count, hours, price_of(gpu, prices), needed=needed))
    several = f"{count} GPUs do the work of {factor:g}: efficiency {scaling_efficiency:g}"
    if factor < count * scaling_efficiency:
        several += f", and the batch of {job.batch} is not shared evenly"
    assumes = [
        several if count > 1 else "one GPU",
        str(use) + ", where nothing was measured",
        "no time for loading, evaluation, checkpoints or failed runs",
        "energy is the board's full power for all hours: an upper bound for the GPU, without host "
        "and cooling",
        "memory is an estimate; see docs/perf.md",
    ]
    if job.stages and job.samples is None:
        assumes.insert(0, "the data that Libra was trained on; --samples takes the number of yours")
    return Plan(against_first(made), assumes)


def _share(job: Job, count: int) -> float:
    """GPUs that are at work: the one with the most samples of a batch keeps the others waiting."""
    return job.batch / math.ceil(job.batch / count) if job.stages else float(count)


def _scaled(hours: Cell, count: int, factor: float) -> Cell:
    """On several GPUs; the efficiency is an assumption, so what was measured on one is no more."""
    if count == 1 or hours.value is None:
        return hours
    basis: Basis = "projected"
    origin = "" if hours.basis == basis else f" from {hours.basis} hours of one"
    return Cell(hours.value / factor, basis, f"{hours.how}; ÷ {factor:g}{origin}")


def _check(job: Job, count: int, efficiency: float) -> None:
    if job.task not in TASKS:
        raise unknown_name("task", job.task, TASKS)
    trains, samples = bool(job.stages), job.samples
    # What is below 1 is said once; the checks that follow from it are left out.
    sane = count >= 1 and job.batch >= 1 and job.micro_batch >= 1
    faults = [
        message
        for wrong, message in (
            (
                samples is not None and samples < 1,
                f"{samples} samples: at least one was expected",
            ),
            (count < 1, f"{count} GPUs: at least one was expected"),
            (not 0 < efficiency <= 1, f"scaling efficiency {efficiency:g}: not in (0, 1]"),
            (
                trains and (job.batch < 1 or job.micro_batch < 1),
                "batch and micro-batch must be at least 1",
            ),
            (
                trains and sane and count > job.batch,
                f"{count} GPUs for a batch of {job.batch}: {count - job.batch} of them would have "
                "no sample; a larger batch changes the training",
            ),
            (
                trains and sane and count * job.micro_batch > max(job.batch, count),
                f"{count} GPUs with micro-batches of {job.micro_batch} exceed the batch of "
                f"{job.batch}",
            ),
            (
                not trains and count > _reports(job) >= 1,
                f"{count} GPUs for {_reports(job)} reports: some would have none",
            ),
            (
                not all(0 < job.epochs.get(one, 0) < math.inf for one in job.stages),
                "epochs must be positive",
            ),
        )
        if wrong
    ]
    if faults:
        raise InputError("this cannot be planned: " + listing(faults))


def _reports(job: Job) -> int:
    return int(table("published.json")["test_reports"]) if job.samples is None else job.samples


def _hours(job: Job, gpu: Gpu, use: Utilisation, records: dict[str, Record]) -> Cell:
    """Of the whole job on one GPU; measured or published only where all of it was."""
    if not job.stages:
        return _evaluation(job, gpu, use, records)
    cells = {stage: _training(job, stage, gpu, use, records) for stage in job.stages}
    bases = {one.basis for one in cells.values()}
    hows = dict.fromkeys(one.how for one in cells.values())
    how = "; ".join(hows if len(hows) == 1 else (f"{s}: {c.how}" for s, c in cells.items()))
    seconds = sum(one.value or 0.0 for one in cells.values())
    return Cell(seconds, bases.pop() if len(bases) == 1 else "projected", how)


def _evaluation(job: Job, gpu: Gpu, use: Utilisation, records: dict[str, Record]) -> Cell:
    work = job.work
    found = measured(records, gpu, job.shape, "generation", work.recorded, "reports_per_second")
    if found is not None and found.value:
        return Cell(_reports(job) / found.value / HOUR, found.basis, found.how)
    parts = projection.generation(job.shape, gpu, work, use)
    how = f"{work}; {projection.bounds(parts)}"
    return Cell(projection.total(parts) * _reports(job) / HOUR, "projected", how)


def _training(job: Job, stage: str, gpu: Gpu, use: Utilisation, records: dict[str, Record]) -> Cell:
    epochs = job.epochs[stage]
    if job.samples is None:
        told = training_hours(
            gpu,
            job.shape,
            stage,
            use,
            batch=job.batch,
            micro_batch=job.micro_batch,
            recompute=job.recompute,
        )
        if told.value is None or epochs == EPOCHS[stage]:
            return told
        passes = f"{told.how}; {epochs:g} instead of {EPOCHS[stage]:g} epochs"
        return Cell(told.value * epochs / EPOCHS[stage], "projected", passes)
    passed = job.samples * epochs
    wanted: dict[str, object] = {
        "stage": stage,
        "batch": job.batch,
        "micro_batch": job.micro_batch,
        "recompute": job.recompute,
    }
    found = measured(records, gpu, job.shape, "training", wanted, "samples_per_second")
    if found is not None and found.value:
        return Cell(passed / found.value / HOUR, found.basis, found.how)
    parts = projection.training_step(
        job.shape,
        stage,
        gpu,
        use,
        batch=job.batch,
        text=job.text,
        recompute=job.recompute,
        micro_batch=job.micro_batch,
    )
    seconds = passed / job.batch * projection.total(parts)
    return Cell(seconds / HOUR, "projected", projection.bounds(parts))


def _memory(job: Job) -> float:
    """Bytes on each GPU."""
    if not job.stages:
        return projection.generation_memory(job.shape, job.work)
    return max(
        count_training.memory(
            job.shape, stage, batch=job.micro_batch, text=job.text, recompute=job.recompute
        ).total
        for stage in job.stages
    )
