"""`libra-bench report`: write a run's pages again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from libra_bench.cli import options
from libra_bench.cli.console import say


def report(
    run: Annotated[Path, typer.Option(help="The run folder.")],
    format: Annotated[str, typer.Option(help="html, md and latex, with commas.")] = "html,md",
) -> None:
    """Write a run's report as a page, as Markdown or as a LaTeX table."""
    from libra_bench.core.outputs import sole_writer
    from libra_bench.report.render import render
    from libra_bench.runs.folder import RunFolder

    RunFolder.open(run)
    with sole_writer(run):
        for path in render(run, options.names(format)):
            say(f"wrote {path}")
