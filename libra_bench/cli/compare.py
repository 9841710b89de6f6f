"""`libra-bench compare`: are these runs different?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from libra_bench.cli import options
from libra_bench.cli.console import number, print_json, say, table, warn


def compare(
    runs: Annotated[
        list[Path], typer.Argument(help="Run folders or scores.parquet files; first the baseline.")
    ],
    metrics: options.Metrics = None,
    trials: options.Trials = 10_000,
    seed: options.Seed = 0,
    json: options.Json = False,
) -> None:
    """Compare runs on the same reports: paired differences, intervals and p-values."""
    if len(runs) < 2:
        raise typer.BadParameter("at least two runs are compared")
    from libra_bench.runs.comparing import compare_runs

    rows = compare_runs(
        runs, metrics=options.chosen(metrics, "--metrics"), trials=trials, seed=seed
    )
    if json:
        print_json([row.__dict__ for row in rows])
        return
    units = dict.fromkeys(f"{row.clusters:,} {row.unit}" for row in rows)
    say(f"resampled and exchanged: {' and '.join(units)}; baseline: {rows[0].baseline_label}")
    if any(row.unit != "patients" for row in rows):
        warn(
            "the patients of some or all reports are unknown: intervals and p-values are too "
            "small where patients have several reports"
        )
    table(
        ("metric", "run", "baseline", "value", "difference", "95 % interval", "p (Holm)"),
        [
            (
                row.title,
                row.label,
                number(row.baseline),
                number(row.value),
                f"{row.difference:+.2f}",
                f"{row.low:+.2f} – {row.high:+.2f}",
                f"{row.p_holm:.4f}",
            )
            for row in rows
        ],
    )
