"""Throughput and cost by GPU; every cell says whether it was measured, published or projected."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from libra_bench.perf import projection
from libra_bench.perf.hardware import Gpu, Price, assumption, find_gpu, price_of, table
from libra_bench.perf.projection import Utilisation, Workload
from libra_bench.perf.record import Record
from libra_bench.perf.shape import ModelShape, named

MARKS = {"measured": "m", "published": "p", "projected": "≈"}
HOUR = 3600


@dataclass(frozen=True)
class Cell:
    """A figure and where it comes from; without a figure `how` is the reason."""

    value: float | None
    basis: Literal["measured", "published", "projected"] | None
    how: str


@dataclass(frozen=True)
class Row:
    """One GPU with one engine, or one GPU in training."""

    gpu: str
    label: str
    cells: dict[str, Cell] = field(default_factory=dict)


EVALUATION = {
    "reports_per_second": "reports/s",
    "test_hours": "test set, h",
    "test_usd": "test set, $",
    "usd_per_1000": "$ per 1,000 reports",
}
TRAINING = {
    "align_samples_per_second": "stage 1, samples/s",
    "finetune_samples_per_second": "stage 2, samples/s",
    "align_hours": "stage 1, h",
    "finetune_hours": "stage 2, h",
    "usd": "both stages, $",
}


def evaluation(
    gpus: Sequence[str],
    shape: ModelShape,
    works: Iterable[Workload],
    *,
    prices: list[Price],
    records: dict[str, Record],
    use: Utilisation,
) -> list[Row]:
    """Rows of evaluation: measured where a record fits, projected elsewhere.

    Raises:
        InputError: an unknown GPU.
    """
    reports = table("published.json")["test_reports"]
    rows = []
    for gpu in map(find_gpu, gpus):
        for work in works:
            rate = _rate(gpu, shape, work, records, use)
            price = price_of(gpu, prices)
            hours = _inverse(rate, reports / HOUR)
            cells = {
                "reports_per_second": rate,
                "test_hours": hours,
                "test_usd": _dollars(hours, price, gpu),
                "usd_per_1000": _dollars(_inverse(rate, 1000 / HOUR), price, gpu),
            }
            rows.append(Row(gpu.name, work.engine, cells))
    return rows


def training(
    gpus: Sequence[str],
    *,
    prices: list[Price],
    records: dict[str, Record],
    use: Utilisation,
) -> list[Row]:
    """Rows of training Libra-7B; hours of other GPUs follow from those published for one A6000.

    Raises:
        InputError: an unknown GPU.
    """
    facts = table("published.json")
    shape, home = named(facts["model"]), find_gpu(facts["gpu"])
    rows = []
    for gpu in map(find_gpu, gpus):
        cells = {}
        for stage, told in facts["hours"].items():
            own, there = (_step_seconds(one, shape, stage, use) for one in (gpu, home))
            found = measured(
                records, gpu, shape, "training", {"stage": stage, "batch": 16}, "samples_per_second"
            )
            text = f"{projection.bounds(own)}; {use}"
            cells[f"{stage}_samples_per_second"] = found or Cell(
                BATCH / projection.total(own), "projected", text
            )
            if gpu is home:
                hours = Cell(float(told), "published", facts["source"])
            else:
                ratio = projection.total(own) / projection.total(there)
                how = f"{told} h on one {home.name} × {ratio:.3f}, the ratio of the projected steps"
                hours = Cell(told * ratio, "projected", how)
            cells[f"{stage}_hours"] = hours
        both = cells["align_hours"], cells["finetune_hours"]
        summed = Cell(sum(one.value or 0.0 for one in both), both[0].basis, both[0].how)
        cells["usd"] = _dollars(summed, price_of(gpu, prices), gpu)
        rows.append(Row(gpu.name, "both stages", {name: cells[name] for name in TRAINING}))
    return rows


BATCH = 16
"""Libra's own, in both stages."""


def _step_seconds(
    gpu: Gpu, shape: ModelShape, stage: str, use: Utilisation
) -> dict[str, projection.Part]:
    text = int(assumption("prompt_tokens") + assumption("answer_tokens"))
    return projection.training_step(shape, stage, gpu, use, batch=BATCH, text=text, recompute=True)


def _rate(
    gpu: Gpu, shape: ModelShape, work: Workload, records: dict[str, Record], use: Utilisation
) -> Cell:
    wanted = {"engine": work.engine, "beams": work.beams, "new_tokens": work.new_tokens}
    found = measured(records, gpu, shape, "generation", wanted, "reports_per_second")
    if found is not None:
        return found
    needed = projection.generation_memory(shape, work)
    if not gpu.holds(needed):
        reason = f"{work} needs {needed / 1e9:.0f} GB, {gpu.name} has {gpu.gigabytes:g}"
        return Cell(None, None, reason)
    parts = projection.generation(shape, gpu, work, use)
    how = f"{work}; {projection.bounds(parts)}; {use}"
    return Cell(1 / projection.total(parts), "projected", how)


def measured(
    records: dict[str, Record],
    gpu: Gpu,
    shape: ModelShape,
    kind: str,
    wanted: dict[str, object],
    result: str,
) -> Cell | None:
    """The best rate among records of this GPU, shape and work."""
    fitting = [
        (one.results[result] or 0.0, name)
        for name, one in records.items()
        if one.kind == kind
        and one.gpu == gpu.id
        and one.model_shape == shape
        and wanted.items() <= one.settings.items()
    ]
    if not fitting:
        return None
    value, name = max(fitting)
    return Cell(value, "measured", f"record {name}")


def _inverse(rate: Cell, factor: float) -> Cell:
    if rate.value is None:
        return rate
    return Cell(factor / rate.value, rate.basis, rate.how)


def _dollars(hours: Cell, price: tuple[float, str] | None, gpu: Gpu) -> Cell:
    if price is None:
        return Cell(None, None, f"no price of {gpu.name}; --prices FILE gives one")
    if hours.value is None:
        return hours
    how = f"{hours.how}; {price[0]:g} USD an hour, {price[1]}"
    return Cell(hours.value * price[0], hours.basis, how)


def markdown(rows: Sequence[Row], columns: dict[str, str], first: str) -> str:
    """A table whose cells carry m (measured), p (published) or ≈ (projected)."""
    lines = [
        f"| GPU | {first} | {' | '.join(columns.values())} |",
        f"|---|---|{'---:|' * len(columns)}",
    ]
    for row in rows:
        shown = [text(row.cells[name]) for name in columns]
        lines.append(f"| {row.gpu} | {row.label} | {' | '.join(shown)} |")
    return "\n".join(lines) + "\n"


def text(cell: Cell) -> str:
    """A cell as people read it: three digits and its mark; a dash where there is none."""
    if cell.value is None or cell.basis is None:
        return "–"
    value = cell.value
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:,.{digits}f} {MARKS[cell.basis]}"


def gaps(rows: Sequence[Row]) -> list[str]:
    """Why cells are empty, each reason once."""
    empty = [cell.how for row in rows for cell in row.cells.values() if cell.value is None]
    return list(dict.fromkeys(empty))


def as_json(rows: Sequence[Row]) -> list[dict[str, object]]:
    """Rows for machines: every cell with its value, basis and how."""
    return [
        {
            "gpu": row.gpu,
            "label": row.label,
            "cells": {name: vars(cell) for name, cell in row.cells.items()},
        }
        for row in rows
    ]
