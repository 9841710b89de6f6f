"""`libra-bench compare`: are these runs different?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from libra_bench.cli import options


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
