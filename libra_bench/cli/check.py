"""`libra-bench check`: did this run get worse than its baseline?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from libra_bench.cli import options
from libra_bench.cli.console import number, print_json, table

EXIT_REGRESSION = 3


def check(
    run: Annotated[Path, typer.Option(help="The run folder.")],
    baseline: Annotated[
        Path, typer.Option(help="A summary.json, or the output of `score --json`.")
    ],
    json: options.Json = False,
) -> None:
    """Exit with 3 when a metric got worse beyond its confidence interval."""
    from libra_bench.runs.comparing import check_run

    verdicts = check_run(run, baseline)
    if json:
        print_json([{**one.__dict__, "regressed": one.regressed} for one in verdicts])
    else:
        table(
            ("metric", "baseline", "now", "verdict"),
            [
                (one.name, number(one.baseline), number(one.current), one.verdict)
                for one in verdicts
            ],
        )
    if any(one.regressed for one in verdicts):
        raise typer.Exit(EXIT_REGRESSION)
