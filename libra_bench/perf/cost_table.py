"""Throughput and cost by GPU; every cell says whether it was measured, published or projected."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from libra_bench.perf import count_training, projection
from libra_bench.perf.cells import (
    BATCH,
    Cell,
    measured,
    no_price,
    no_room,
    text,
    training_hours,
    training_step,
)
from libra_bench.perf.hardware import Gpu, Price, assumption, find_gpus, price_of, table
from libra_bench.perf.projection import Utilisation, Workload
from libra_bench.perf.record import Record
from libra_bench.perf.shape import ModelShape

HOUR = 3600


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
        InputError: an unknown GPU, or none.
    """
    reports = table("published.json")["test_reports"]
    rows = []
    for gpu in find_gpus(gpus):
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
    shape: ModelShape,
    *,
    prices: list[Price],
    records: dict[str, Record],
    use: Utilisation,
) -> list[Row]:
    """Rows of training; hours of other GPUs follow from those published for one A6000.

    Raises:
        InputError: an unknown GPU, or none.
    """
    lengths = int(assumption("prompt_tokens") + assumption("answer_tokens"))
    rows = []
    for gpu in find_gpus(gpus):
        cells: dict[str, Cell] = {}
        for stage in count_training.STAGES:
            needed = count_training.memory(shape, stage, batch=1, text=lengths, recompute=True)
            wanted: dict[str, object] = {
                "stage": stage,
                "batch": BATCH,
                "micro_batch": 1,
                "recompute": True,
            }
            rate = measured(records, gpu, shape, "training", wanted, "samples_per_second")
            if rate is not None or gpu.holds(needed.total):
                hours = training_hours(gpu, shape, stage, use)
            else:
                rate = hours = Cell(None, None, no_room(stage, needed.total, gpu))
            cells[f"{stage}_samples_per_second"] = rate or _training_rate(gpu, shape, stage, use)
            cells[f"{stage}_hours"] = hours
        both = [cells[f"{stage}_hours"] for stage in count_training.STAGES]
        cells["usd"] = _dollars(_sum(both), price_of(gpu, prices), gpu)
        rows.append(Row(gpu.name, "both stages", {name: cells[name] for name in TRAINING}))
    return rows


def _training_rate(gpu: Gpu, shape: ModelShape, stage: str, use: Utilisation) -> Cell:
    parts = training_step(gpu, shape, stage, use)
    how = f"batch {BATCH}, recomputing; {projection.bounds(parts)}; {use}"
    return Cell(BATCH / projection.total(parts), "projected", how)


def _sum(cells: Sequence[Cell]) -> Cell:
    """All together; empty where one is, and projected where one is."""
    values = [one.value for one in cells if one.value is not None]
    if len(values) < len(cells):
        return next(one for one in cells if one.value is None)
    bases = {one.basis for one in cells}
    hows = "; ".join(dict.fromkeys(one.how for one in cells))
    return Cell(sum(values), bases.pop() if len(bases) == 1 else "projected", hows)


def _rate(
    gpu: Gpu, shape: ModelShape, work: Workload, records: dict[str, Record], use: Utilisation
) -> Cell:
    found = measured(records, gpu, shape, "generation", work.recorded, "reports_per_second")
    if found is not None:
        return found
    needed = projection.generation_memory(shape, work)
    if not gpu.holds(needed):
        return Cell(None, None, no_room(str(work), needed, gpu))
    parts = projection.generation(shape, gpu, work, use)
    how = f"{work}; {projection.bounds(parts)}; {use}"
    return Cell(1 / projection.total(parts), "projected", how)


def _inverse(rate: Cell, factor: float) -> Cell:
    if rate.value is None:
        return rate
    return Cell(factor / rate.value, rate.basis, rate.how)


def _dollars(hours: Cell, price: tuple[float, str] | None, gpu: Gpu) -> Cell:
    if hours.value is None:
        return hours
    if price is None:
        return Cell(None, None, no_price(gpu))
    how = f"{hours.how}; {price[0]:g} USD an hour, {price[1]}"
    return Cell(hours.value * price[0], hours.basis, how)


def markdown(rows: Sequence[Row], columns: dict[str, str], first: str | None = None) -> str:
    """A table whose cells carry m (measured), p (published) or ≈ (projected).

    Args:
        first: title of the column of labels; without one there is no such column.
    """
    names = ["GPU", *([first] if first else [])]
    lines = [
        f"| {' | '.join([*names, *columns.values()])} |",
        f"|{'---|' * len(names)}{'---:|' * len(columns)}",
    ]
    for row in rows:
        shown = [row.gpu, *([row.label] if first else [])]
        shown += [text(row.cells[name]) for name in columns]
        lines.append(f"| {' | '.join(shown)} |")
    return "\n".join(lines) + "\n"


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
