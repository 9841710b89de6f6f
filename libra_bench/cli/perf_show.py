"""What `libra-bench perf` shows people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libra_bench.cli.console import number, say, table, warn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libra_bench.perf.cost_table import Row
    from libra_bench.perf.projection import Workload
    from libra_bench.perf.record import Record
    from libra_bench.perf.scenario import Plan


def plan(made: Plan) -> None:
    """A plan: figures on stdout, the recommendation and its reasons on stderr."""
    from libra_bench.perf.cells import KEY, MARKS

    columns = ("GPU", "hours", "days", "USD", "GB", "kWh", "speed-up", "break-even")
    rows = [
        (
            one.label,
            "–" if one.hours is None else f"{one.hours:,.1f} {MARKS[one.basis]}",
            number(one.days),
            "–" if one.cost_usd is None else f"{one.cost_usd:,.2f}",
            number(one.memory_gigabytes, 0),
            "–" if one.kilowatt_hours is None else f"{one.kilowatt_hours:,.1f}",
            "" if one.speedup is None else f"{one.speedup:.2f}×",
            "" if one.break_even_speedup is None else f"{one.break_even_speedup:.2f}×",
        )
        for one in made.scenarios
    ]
    table(columns, rows, figures=columns[1:])
    say("")
    say(KEY)
    say(made.recommendation())
    say(
        "A GPU saves money only where its speed-up exceeds the break-even: the ratio of the prices."
    )
    for one in made.scenarios:
        paid = f". {one.usd_per_hour:g} USD an hour: {one.price_source}" if one.usd_per_hour else ""
        if one.hours is not None:
            say(f"  {one.label}: {one.basis}: {one.how}{paid}")
        for gap in one.gaps:
            warn(f"{one.label}: {gap}")
    for premise in made.assumes:
        say(f"  assumed: {premise}")


def costs(evaluation: Sequence[Row], training: Sequence[Row], shape: str, work: Workload) -> None:
    """Both tables on stdout, why cells are empty on stderr."""
    from libra_bench.perf import cost_table
    from libra_bench.perf.cells import KEY, text

    titles = {
        f"Evaluation of {shape}: {work.beams} beams, {work.new_tokens} tokens": (
            evaluation,
            cost_table.EVALUATION,
        ),
        f"Training of {shape}: batch 16": (training, cost_table.TRAINING),
    }
    for title, (rows, columns) in titles.items():
        labelled = len({row.label for row in rows}) > 1
        names = ("GPU", *(("engine",) if labelled else ()), *columns.values())
        cells = [
            (
                row.gpu,
                *((row.label,) if labelled else ()),
                *(text(row.cells[name]) for name in columns),
            )
            for row in rows
        ]
        table(names, cells, title, figures=tuple(columns.values()))
        say("")
    say(f"{KEY}; --json says how each cell came about")
    for gap in cost_table.gaps([*evaluation, *training]):
        warn(gap)


def record(found: Record) -> None:
    """A measurement: figures on stdout, what was measured on stderr."""
    settings = ", ".join(
        f"{name.replace('_', ' ')} {value}"
        for name, value in found.settings.items()
        # The protocol's name stands for it here; the record has it all.
        if name != "decoding" and value is not None
    )
    say(f"{found.model} on {found.device}, {found.dtype}, {found.attention}: {settings}")
    rows = [
        (name, "–" if value is None else _short(value), found.gaps.get(name, ""))
        for name, value in found.results.items()
    ]
    table(("figure", "value", "why not"), rows, figures=("value",))
    if found.dropped:
        warn(f"{found.dropped} repetitions were dropped: a clock jumped")
    if found.random_weights:
        say("random weights: these are times, nothing is said of quality")


def _short(value: float) -> str:
    """Four digits, and large figures written out."""
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
