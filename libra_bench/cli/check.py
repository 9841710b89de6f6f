"""`libra-bench check`: did this run get worse than its baseline?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from libra_bench.cli import options

EXIT_REGRESSION = 3


def check(
    run: Annotated[Path, typer.Option(help="The run folder.")],
    baseline: Annotated[
        Path, typer.Option(help="A summary.json, or the output of `score --json`.")
    ],
    json: options.Json = False,
) -> None:
    """Exit with 3 when a metric got worse beyond its confidence interval."""
