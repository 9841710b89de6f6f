"""Figures with what they rest on: measured, published or projected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from libra_bench.perf import projection
from libra_bench.perf.hardware import Gpu, assumption, find_gpu, table
from libra_bench.perf.projection import Utilisation
from libra_bench.perf.record import Record
from libra_bench.perf.shape import ModelShape, named

Basis = Literal["measured", "published", "projected"]
MARKS = {"measured": "m", "published": "p", "projected": "≈"}
KEY = "m measured · p published · ≈ projected"
DTYPE = "bfloat16"
BATCH = 16
"""Libra's own, in both stages."""


@dataclass(frozen=True)
class Cell:
    """A figure and where it comes from; without a figure `how` is the reason."""

    value: float | None
    basis: Basis | None
    how: str


def text(cell: Cell) -> str:
    """A cell as people read it: three digits and its mark; a dash where there is none."""
    if cell.value is None or cell.basis is None:
        return "–"
    return f"{digits(cell.value)} {MARKS[cell.basis]}"


def digits(value: float) -> str:
    """A figure with about three digits."""
    places = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:,.{places}f}"


def no_price(gpu: Gpu) -> str:
    """Why a cost is missing."""
    return f"no price of {gpu.name}; --prices FILE gives one"


def no_room(what: str, needed: float, gpu: Gpu) -> str:
    """Why there is no time: the memory does not hold it."""
    return (
        f"{what} needs about {needed / 1e9:.0f} GB, {gpu.name} has {gpu.gigabytes:g}, a tenth of "
        "it in reserve"
    )


def measured(
    records: dict[str, Record],
    gpu: Gpu,
    shape: ModelShape,
    kind: str,
    wanted: dict[str, object],
    result: str,
) -> Cell | None:
    """The best rate among records of this GPU, shape and work.

    Projections and prices are of bfloat16, so a record of another type is of other work; one that
    was disturbed says nothing.
    """
    fitting = [
        (one.results[result] or 0.0, name)
        for name, one in records.items()
        if one.kind == kind
        and one.gpu == gpu.id
        and one.model_shape == shape
        and one.dtype == DTYPE
        and not one.disturbed
        and wanted.items() <= one.settings.items()
    ]
    if not fitting:
        return None
    value, name = max(fitting)
    return Cell(value, "measured", f"record {name}")


def training_step(
    gpu: Gpu,
    shape: ModelShape,
    stage: str,
    use: Utilisation,
    *,
    batch: int = BATCH,
    micro_batch: int = 1,
    recompute: bool = True,
) -> dict[str, projection.Part]:
    """Projected seconds of a step of Libra's lengths, by default as Libra was trained."""
    lengths = int(assumption("prompt_tokens") + assumption("answer_tokens"))
    return projection.training_step(
        shape,
        stage,
        gpu,
        use,
        batch=batch,
        text=lengths,
        recompute=recompute,
        micro_batch=micro_batch,
    )


def training_hours(
    gpu: Gpu,
    shape: ModelShape,
    stage: str,
    use: Utilisation,
    *,
    batch: int = BATCH,
    micro_batch: int = 1,
    recompute: bool = True,
) -> Cell:
    """Hours of a stage over Libra's own data: published for one GPU and Libra-7B.

    Elsewhere they are those hours times the ratio of the projected steps, which needs no size of
    the data and no absolute utilisation.
    """
    facts = table("published.json")
    told, home, published = float(facts["hours"][stage]), find_gpu(facts["gpu"]), facts["model"]
    as_published = (batch, micro_batch, recompute) == (BATCH, 1, True)
    if gpu is home and shape == named(published) and as_published:
        return Cell(told, "published", facts["source"])
    own = training_step(
        gpu, shape, stage, use, batch=batch, micro_batch=micro_batch, recompute=recompute
    )
    there = training_step(home, named(published), stage, use)
    ratio = (projection.total(own) / batch) / (projection.total(there) / BATCH)
    how = (
        f"{told:g} h of {published} on one {home.name} × {ratio:.3f}, the ratio of the projected "
        f"times of a sample; {projection.bounds(own)}; {use}"
    )
    return Cell(told * ratio, "projected", how)
