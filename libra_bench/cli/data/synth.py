"""`libra-bench data synth`: a cohort that needs no PhysioNet account."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from libra_bench.cli.console import count_progress, say


def synth(
    output: Annotated[Path, typer.Option(help="The folder to write; empty or absent.")],
    patients: Annotated[int, typer.Option(help="How many patients.")] = 120,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
) -> None:
    """Write a synthetic cohort in PhysioNet's layout."""
    import os

    from libra_bench.data.synthetic.writer import synthesize

    with count_progress("writing patients", total=patients) as show:
        synthesize(output, patients, seed, on_patient=show, workers=min(os.cpu_count() or 1, 8))
    say(f"wrote {patients} patients to {output}; --data synthetic:{output} reads them")
