"""`libra-bench doctor`: what this machine has, and the command that mends each gap."""

from __future__ import annotations

import typer

from libra_bench.cli import options
from libra_bench.cli.console import print_json, show


def doctor(json: options.Json = False) -> None:
    """Which packages, weights, corpora, Java and GPU are found, and how to get the rest."""
    from libra_bench.diagnosis import examine

    findings = examine()
    if json:
        print_json([finding.__dict__ for finding in findings])
        return
    for one in findings:
        typer.secho("✓ " if one.ok else "✗ ", fg="green" if one.ok else "yellow", nl=False)
        show(f"{one.what}: {one.found}")
        if one.mend:
            show(f"    to mend it: {one.mend}")
