"""Throughput, cost and roofline as figures; filled marks are measured, hollow ones projected."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from libra_bench.perf import count, count_training, projection
from libra_bench.perf.count import Cost
from libra_bench.perf.hardware import Gpu, find_gpu
from libra_bench.perf.projection import Utilisation, Workload
from libra_bench.perf.record import Record
from libra_bench.perf.shape import ModelShape

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

    from libra_bench.perf.cost_table import Row

Draw = Callable[["Axes"], None]
COLOURS = ("#1f5f8b", "#b5541c", "#4a7a2c", "#7a4a8f", "#8a6d00", "#5a6069")
SIZES = (1, 2, 4, 8, 16, 32, 64)
BEAMS = (1, 5, 10)
LINES = {1: ":", 5: "--", 10: "-"}


def throughput(
    shape: ModelShape, gpus: Sequence[str], records: dict[str, Record], use: Utilisation
) -> Draw:
    """Reports a second against studies side by side, by GPU and beams, in the fast engine."""

    def draw(axes: Axes) -> None:
        for colour, gpu in zip(COLOURS, map(find_gpu, gpus), strict=False):
            for beams in BEAMS:
                held = [size for size in SIZES if _fits(shape, gpu, beams, size)]
                works = [Workload(beams=beams, side_by_side=size) for size in held]
                rates = [
                    1 / projection.total(projection.generation(shape, gpu, work, use))
                    for work in works
                ]
                label = f"{gpu.name}, {beams} beam{'s' if beams > 1 else ''}"
                axes.plot(held, rates, LINES[beams], color=colour, linewidth=1.2, label=label)
            points = [
                (one.settings["side_by_side"], one.results["reports_per_second"])
                for one in records.values()
                if one.gpu == gpu.id and one.model_shape == shape and one.kind == "generation"
            ]
            if points:
                axes.plot(*zip(*points, strict=True), "o", color=colour, markersize=5)
        _sizes(axes)

    return draw


def _fits(shape: ModelShape, gpu: Gpu, beams: int, size: int) -> bool:
    work = Workload(beams=beams, side_by_side=size)
    return gpu.holds(projection.generation_memory(shape, work))


def measured(records: dict[str, Record]) -> Draw:
    """Measured reports a second against studies side by side, by model, engine and beams."""
    groups: dict[str, list[tuple[int, float]]] = {}
    for one in records.values():
        if one.kind == "generation":
            settings = one.settings
            label = f"{one.gpu or 'CPU'}, {one.model}, {settings['engine']}, {settings['beams']} b."
            rate = one.results["reports_per_second"]
            groups.setdefault(label, []).append((settings["side_by_side"], rate or 0.0))

    def draw(axes: Axes) -> None:
        for number, (label, points) in enumerate(sorted(groups.items())):
            colour = COLOURS[number % len(COLOURS)]
            xs, ys = zip(*sorted(points), strict=True)
            axes.plot(xs, ys, "o-", color=colour, linewidth=1, markersize=4, label=label)
        _sizes(axes)

    return draw


def _sizes(axes: Axes) -> None:
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    _plain(axes.yaxis, 2, 5)
    axes.set_xticks(SIZES, [str(size) for size in SIZES])
    axes.set_xlabel("studies side by side")
    axes.set_ylabel("reports a second")
    axes.legend(fontsize=7, frameon=False)


def _plain(axis: Axis, *within: float) -> None:
    """Decades written out, and what is `within` them: 2 and 5, say."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(10, (1.0, *within)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_formatter(NullFormatter())


def cost(rows: Sequence[Row]) -> Draw:
    """USD for 1,000 reports by GPU and engine."""
    priced = [row for row in rows if row.cells["usd_per_1000"].value is not None]

    def draw(axes: Axes) -> None:
        for place, row in enumerate(priced):
            cell = row.cells["usd_per_1000"]
            known = cell.basis == "measured"
            colour = COLOURS[0] if row.label == "fast" else COLOURS[1]
            axes.barh(
                place,
                cell.value or 0.0,
                color=colour if known else "none",
                edgecolor=colour,
                height=0.7,
            )
            axes.text(cell.value or 0.0, place, f" {cell.value:.2f}", va="center", fontsize=7)
        names = [f"{row.gpu}, {row.label}" for row in priced]
        axes.set_yticks(range(len(priced)), names)
        axes.invert_yaxis()
        axes.set_xlabel("USD for 1,000 reports; hollow bars are projected")

    return draw


def roofline(
    shape: ModelShape, gpus: Sequence[str], records: dict[str, Record], use: Utilisation
) -> Draw:
    """Operations a second against operations a byte: roofs, and our parts under them."""

    def draw(axes: Axes) -> None:
        for colour, gpu in zip(COLOURS, map(find_gpu, gpus), strict=False):
            ridge = gpu.flops / gpu.bandwidth
            xs = [0.5, ridge, 5e4]
            ys = [min(gpu.flops, gpu.bandwidth * x) / 1e12 for x in xs]
            axes.plot(xs, ys, color=colour, linewidth=1.3, label=gpu.name)
            for name, (one, seconds) in _parts(shape, gpu, use).items():
                x, y = one.flops / one.bytes, one.flops / seconds / 1e12
                axes.plot(x, y, "o", color=colour, markersize=4, markerfacecolor="none")
                if gpu is find_gpu(gpus[0]):
                    # Encoding and prefill are close: one above, one below.
                    shift = (-8, 6) if name == "encode" else (4, -9)
                    axes.annotate(name, (x, y), shift, textcoords="offset points", fontsize=7)
            for record in records.values():
                if record.gpu == gpu.id and record.model_shape == shape:
                    _measured_points(axes, record, shape, gpu, colour)
        axes.set_xscale("log")
        axes.set_yscale("log")
        _plain(axes.xaxis)
        _plain(axes.yaxis)
        axes.set_xlabel("FLOP a byte")
        axes.set_ylabel("TFLOP a second")
        axes.legend(fontsize=7, frameon=False)

    return draw


def _parts(shape: ModelShape, gpu: Gpu, use: Utilisation) -> dict[str, tuple[Cost, float]]:
    """What the parts cost, and their projected seconds."""
    prefix = 95 + shape.image_tokens

    def decode(engine: str, studies: int, beams: int) -> Cost:
        return count.decode_step(
            shape, studies=studies, beams=beams, prefix=prefix, suffix=64, engine=engine
        )

    costs = {
        "encode": count.encode(shape),
        "prefill": count.prefill(shape, prefix),
        "decode, fast, 8 × 10": decode("fast", 8, 10),
        "decode, reference, 1 × 10": decode("reference", 1, 10),
        "decode, greedy": decode("fast", 1, 1),
    }
    parts = {name: (one, projection.project(one, gpu, use).seconds) for name, one in costs.items()}
    step = count_training.step(shape, "finetune", batch=16, text=223, recompute=True)
    seconds = projection.total(
        projection.training_step(shape, "finetune", gpu, use, batch=16, text=223, recompute=True)
    )
    return parts | {"training, stage 2": (step.hardware + step.optimizer, seconds)}


def _measured_points(axes: Axes, record: Record, shape: ModelShape, gpu: Gpu, colour: str) -> None:
    """A record's parts, filled: operations counted, seconds measured."""
    if record.kind != "generation":
        return
    settings = record.settings
    names = ("studies", "beams", "prompt", "new_tokens", "side_by_side", "prior_share", "engine")
    counted = count.generation(shape, **{name: settings[name] for name in names}).parts()
    for name, one in counted.items():
        seconds = sum(record.parts.get(name, []))
        if seconds:
            point = one.flops / one.bytes, one.flops / seconds / 1e12
            axes.plot(*point, "o", color=colour, markersize=4)


def render(draw: Draw, form: str, width: float = 6.4, height: float = 4.0) -> bytes:
    """A figure as `png` or `svg`, on fresh axes, without pyplot's global state."""
    import matplotlib
    from matplotlib.figure import Figure as Canvas

    settings: dict[str, Any] = {
        "font.size": 8.5,
        "svg.hashsalt": "perf",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.linewidth": 0.4,
        "grid.alpha": 0.6,
        "axes.axisbelow": True,
    }
    # Dates and versions would change the files without a change in what they show.
    stamp = {"Date": None} if form == "svg" else {"Software": None}
    with matplotlib.rc_context(rc=settings):  # type: ignore[arg-type]  # names as plain text
        canvas: Figure = Canvas(figsize=(width, height), layout="constrained", dpi=130)
        draw(canvas.add_subplot())
        buffer = io.BytesIO()
        canvas.savefig(buffer, format=form, metadata=stamp)
    return buffer.getvalue()
