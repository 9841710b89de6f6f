"""From a dataset, a stage and GPUs to days, dollars, memory and energy, and which GPU to take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from libra_bench.core.errors import InputError
from libra_bench.core.files import listing
from libra_bench.core.names import unknown_name
from libra_bench.perf import count_training, projection
from libra_bench.perf.cost_table import measured
from libra_bench.perf.hardware import Gpu, Price, find_gpu, price_of, table
from libra_bench.perf.projection import Utilisation, Workload
from libra_bench.perf.record import Record
from libra_bench.perf.shape import ModelShape

Basis = Literal["measured", "published", "projected"]
TASKS = ("align", "finetune", "both", "evaluate")
HOURS_A_DAY = 24
SAME = 0.01
"""Times that differ by less are the same: no projection is better than that."""
EPOCHS = {"align": 1.0, "finetune": 3.0}
"""Libra's own."""


@dataclass(frozen=True)
class Job:
    """What is to be done.

    Attributes:
        task: `align`, `finetune`, `both` (each over all samples) or `evaluate`.
        samples: training samples, or reports to write.
        epochs: passes over the samples, by stage; evaluation has one.
        batch: samples of an optimizer step, over all GPUs.
        micro_batch: samples on a GPU at a time.
        text: positions of prompt and answer without the image.
    """

    task: str
    samples: int
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


@dataclass(frozen=True)
class Scenario:
    """One way to do it. A figure that cannot be told is None, and `gaps` says why."""

    gpu: str
    gpus: int
    hours: float
    cost_usd: float | None
    basis: Basis
    how: str
    usd_per_hour: float | None = None
    """Of one GPU."""
    price_source: str | None = None
    memory_gigabytes: float | None = None
    fits: bool | None = None
    kilowatt_hours: float | None = None
    break_even_speedup: float | None = None
    speedup: float | None = None
    gaps: tuple[str, ...] = ()

    @property
    def days(self) -> float:
        """Of 24 hours."""
        return self.hours / HOURS_A_DAY

    @property
    def label(self) -> str:
        """The GPU, and how many of them where there are several."""
        return self.gpu if self.gpus == 1 else f"{self.gpus} × {self.gpu}"

    def brief(self) -> dict[str, Any]:
        """The figures that scripts rely on."""
        return {
            "gpu": self.gpu,
            "gpus": self.gpus,
            "hours": self.hours,
            "days": self.days,
            "cost_usd": self.cost_usd,
            "basis": self.basis,
        }


@dataclass(frozen=True)
class Plan:
    """Scenarios, the first of which is the baseline."""

    scenarios: list[Scenario]
    assumes: list[str]

    @property
    def break_even_speedup(self) -> float | None:
        """Of the first alternative: how much faster it must be to cost no more."""
        return self.scenarios[1].break_even_speedup if len(self.scenarios) > 1 else None

    def brief(self) -> dict[str, Any]:
        """What `perf plan --json` prints."""
        return {
            "scenarios": [one.brief() for one in self.scenarios],
            "break_even_speedup": self.break_even_speedup,
        }

    def recommendation(self) -> str:
        """Which GPU to take, and why."""
        able = [one for one in self.scenarios if one.fits is not False]
        if not able:
            return (
                "None of these GPUs holds it: recompute activations, take a smaller micro-batch "
                "or a larger GPU."
            )
        fastest = min(able, key=lambda one: one.hours)
        priced = [one for one in able if one.cost_usd is not None]
        if not priced:
            return f"{fastest.label} is the fastest; without prices nothing is said of cost."
        cheapest = min(priced, key=lambda one: one.cost_usd or 0.0)
        if cheapest.hours <= fastest.hours * (1 + SAME):
            return f"{cheapest.label}: none of these is cheaper, and none is faster."
        hours = cheapest.hours - fastest.hours
        earlier = f"{hours / HOURS_A_DAY:.1f} days" if hours >= HOURS_A_DAY else f"{hours:.2f} h"
        reason = (
            f"{cheapest.label} is the cheapest at {cheapest.cost_usd:,.2f} USD; "
            f"{fastest.label} is done {earlier} earlier"
        )
        if fastest.cost_usd is None:
            return f"{reason}, at a price that is not known."
        extra = fastest.cost_usd - (cheapest.cost_usd or 0.0)
        return (
            f"{reason} for {extra:,.2f} USD more: {extra / hours:,.3f} USD for each hour saved. "
            "Take it where an hour of waiting is worth more than that."
        )


def plan(
    job: Job,
    gpus: Sequence[str],
    *,
    count: int = 1,
    prices: list[Price],
    scaling_efficiency: float,
    use: Utilisation | None = None,
    records: dict[str, Record] | None = None,
) -> Plan:
    """Scenarios for a job on `count` GPUs of each kind; the first kind is the baseline.

    Args:
        scaling_efficiency: N GPUs do the work of N × this; one GPU does its own.
        use: utilisations of the projection; the packaged ones if None.
        records: measurements; those of the same shape, GPU and work replace the projection.

    Raises:
        InputError: unknown names, numbers that make no sense, more GPUs than the batch has
            samples; all are listed.
    """
    chosen = [find_gpu(name) for name in dict.fromkeys(gpus)]
    _check(job, count, scaling_efficiency)
    use = use or Utilisation.assumed()
    scenarios = []
    for gpu in chosen:
        seconds, basis, how = _seconds(job, gpu, use, records or {})
        factor = 1.0 if count == 1 else count * scaling_efficiency
        needed = _memory(job)
        scenarios.append(
            _scenario(
                gpu, count, seconds / factor / 3600, basis, how, price_of(gpu, prices), needed
            )
        )
    assumes = [
        f"{count} GPUs do the work of {count * scaling_efficiency:g}" if count > 1 else "one GPU",
        str(use) + ", where nothing was measured",
        "no time for loading, evaluation, checkpoints or failed runs",
        "energy is the board's full power for all hours: an upper bound for the GPU, without host "
        "and cooling",
        "memory is an estimate; see docs/perf.md",
    ]
    return Plan(_against_first(scenarios), assumes)


def guide() -> Plan:
    """The arithmetic of a guide that is often repeated, and what it assumes.

    598 h on one RTX A6000; an H100 at 5.93 times its speed and 2.98 USD an hour.
    """
    facts = table("published.json")
    told = facts["guide"]
    hours = float(sum(facts["hours"].values()))
    slow, quick = find_gpu(facts["gpu"]), find_gpu(told["alternative"])
    rates = {name: (value, "the guide's") for name, value in told["usd_per_hour"].items()}
    speedup = told["speedup"]
    scenarios = [
        _scenario(slow, 1, hours, "published", facts["source"], rates[slow.id], None),
        _scenario(
            quick,
            1,
            hours / speedup,
            "projected",
            f"published hours ÷ {speedup:g}, the guide's claim",
            rates[quick.id],
            None,
        ),
    ]
    return Plan(_against_first(scenarios), list(told["assumes"]))


def scenario(name: str) -> Plan:
    """A scenario by name.

    Raises:
        InputError: an unknown name.
    """
    if name != "guide":
        raise unknown_name("scenario", name, ["guide"])
    return guide()


def _check(job: Job, count: int, efficiency: float) -> None:
    if job.task not in TASKS:
        raise unknown_name("task", job.task, TASKS)
    trains = bool(job.stages)
    faults = [
        message
        for wrong, message in (
            (job.samples < 1, f"{job.samples} samples: at least one was expected"),
            (count < 1, f"{count} GPUs: at least one was expected"),
            (not 0 < efficiency <= 1, f"scaling efficiency {efficiency:g}: not in (0, 1]"),
            (
                trains and (job.batch < 1 or job.micro_batch < 1),
                "batch and micro-batch must be at least 1",
            ),
            (
                trains and count > job.batch,
                f"{count} GPUs for a batch of {job.batch}: {count - job.batch} of them would have "
                "no sample; a larger batch changes the training",
            ),
            (
                trains and count * job.micro_batch > max(job.batch, count),
                f"{count} GPUs with micro-batches of {job.micro_batch} exceed the batch of "
                f"{job.batch}",
            ),
            (
                not trains and count > job.samples,
                f"{count} GPUs for {job.samples} reports: some would have none",
            ),
            (
                any(job.epochs.get(stage, 0) <= 0 for stage in job.stages),
                "epochs must be positive",
            ),
        )
        if wrong
    ]
    if faults:
        raise InputError("this cannot be planned: " + listing(faults))


def _seconds(
    job: Job, gpu: Gpu, use: Utilisation, records: dict[str, Record]
) -> tuple[float, Basis, str]:
    """Seconds of the whole job on one GPU; measured only where all of it was."""
    work = job.work
    if not job.stages:
        wanted = {"engine": work.engine, "beams": work.beams, "new_tokens": work.new_tokens}
        found = measured(records, gpu, job.shape, "generation", wanted, "reports_per_second")
        if found is not None and found.value:
            return job.samples / found.value, "measured", found.how
        parts = projection.generation(job.shape, gpu, work, use)
        how = f"{work}; {projection.bounds(parts)}"
        return projection.total(parts) * job.samples, "projected", how
    seconds, reasons, bases = 0.0, [], set()
    for stage in job.stages:
        passed = job.samples * job.epochs[stage]
        wanted = {"stage": stage, "batch": job.batch, "recompute": job.recompute}
        found = measured(records, gpu, job.shape, "training", wanted, "samples_per_second")
        if found is not None and found.value:
            seconds += passed / found.value
            reasons.append(f"{stage}: {found.how}")
            bases.add("measured")
            continue
        parts = projection.training_step(
            job.shape, stage, gpu, use, batch=job.batch, text=job.text, recompute=job.recompute
        )
        seconds += passed / job.batch * projection.total(parts)
        reasons.append(f"{stage}: {projection.bounds(parts)}")
        bases.add("projected")
    basis: Basis = "measured" if bases == {"measured"} else "projected"
    return seconds, basis, "; ".join(reasons)


def default_samples(task: str) -> int:
    """Reports of the published test set; training has no default.

    Raises:
        InputError: training without a number of samples.
    """
    if task != "evaluate":
        raise InputError(f"--samples: how many the training of {task} has was expected")
    return int(table("published.json")["test_reports"])


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


def _scenario(
    gpu: Gpu,
    count: int,
    hours: float,
    basis: Basis,
    how: str,
    price: tuple[float, str] | None,
    needed: float | None,
) -> Scenario:
    return Scenario(
        gpu=gpu.name,
        gpus=count,
        hours=hours,
        cost_usd=None if price is None else hours * count * price[0],
        basis=basis,
        how=how,
        usd_per_hour=None if price is None else price[0],
        price_source=None if price is None else price[1],
        memory_gigabytes=None if needed is None else needed / 1e9,
        fits=None if needed is None else gpu.holds(needed),
        kilowatt_hours=hours * count * gpu.watts / 1000,
        gaps=() if price else (f"no price of {gpu.name}; --prices FILE gives one",),
    )


def _against_first(scenarios: list[Scenario]) -> list[Scenario]:
    """Each with its speed-up over the first, and the one that it needs to cost no more."""
    first, made = scenarios[0], [scenarios[0]]
    for one in scenarios[1:]:
        even = None
        if first.usd_per_hour is not None and one.usd_per_hour is not None:
            even = one.usd_per_hour / first.usd_per_hour
        made.append(replace(one, break_even_speedup=even, speedup=first.hours / one.hours))
    return made
