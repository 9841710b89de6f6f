"""`libra-bench doctor`: what this machine has, and the command that mends each gap."""

from __future__ import annotations

from libra_bench.cli import options
from libra_bench.cli.console import print_json, table


def doctor(json: options.Json = False) -> None:
    """Which packages, weights, corpora, Java and GPU are found, and how to get the rest."""
    from libra_bench.diagnosis import examine

    findings = examine()
    if json:
        print_json([finding.__dict__ for finding in findings])
        return
    table(
        ("", "what", "found", "to mend it"),
        [("✓" if one.ok else "✗", one.what, one.found, one.mend or "") for one in findings],
    )
