"""`libra-bench data sections`: the published table of report sections."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from libra_bench.cli.console import count_progress, say
from libra_bench.cli.data import common
from libra_bench.cli.options import Force


def sections(
    reports: common.Reports,
    output: Annotated[Path, typer.Option(help="The CSV file to write.")],
    keep_special: Annotated[
        bool,
        typer.Option("--keep-special", help="Keep the 54 studies that the published table drops."),
    ] = False,
    workers: common.Workers = None,
    force: Force = False,
) -> None:
    """Cut reports into sections, as the published scripts do."""
    from libra_bench.core.outputs import check_file, sole_writer, starts_with
    from libra_bench.data.reports import write_section_table
    from libra_bench.data.sections import SECTIONS

    header = ",".join(("study", *SECTIONS)).encode()
    check_file(output, inputs=(reports,), ours=lambda one: starts_with(one, header), force=force)
    with sole_writer(output), count_progress("reading reports") as show:
        counts = write_section_table(
            reports, output, keep_special=keep_special, workers=workers, on_reports=show
        )
    say(
        f"wrote {counts.written} studies to {output}; "
        f"{counts.left_out} with hand-made rules left out"
    )
