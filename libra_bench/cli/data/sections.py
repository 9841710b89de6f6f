"""`libra-bench data sections`: the published table of report sections."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from libra_bench.cli.console import count_progress, say


def sections(
    reports: Annotated[Path, typer.Option(help="Folder, zip or tar archive of s….txt reports.")],
    output: Annotated[Path, typer.Option(help="The CSV file to write.")],
    keep_special: Annotated[
        bool,
        typer.Option("--keep-special", help="Keep the 54 studies that the published table drops."),
    ] = False,
) -> None:
    """Cut reports into sections, as the published scripts do."""
    import csv
    import io

    from libra_bench.core.files import write_atomic
    from libra_bench.data.sections import SECTIONS, is_special, parse, read_reports

    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(("study", *SECTIONS))
    written = left_out = 0
    with count_progress("reading reports") as show:
        for study, text in read_reports(reports):
            if is_special(study) and not keep_special:
                left_out += 1
                continue
            found = parse(text)
            writer.writerow((study, *(found.get(name, "") for name in SECTIONS)))
            written += 1
            show(written)
    write_atomic(output, buffer.getvalue())
    say(f"wrote {written} studies to {output}; {left_out} with hand-made rules left out")
