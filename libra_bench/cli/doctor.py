"""`libra-bench doctor`: what this machine has, and the command that mends each gap."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence

import typer

from libra_bench.cli import options
from libra_bench.cli.console import print_json, show

NAME = 24
"""Columns of the names."""


def doctor(json: options.Json = False) -> None:
    """Which packages, weights, corpora, Java and GPU are found, and how to get the rest."""
    from libra_bench.doctor import examine, one_command

    findings = examine()
    command = one_command(findings)
    if json:
        print_json([finding.__dict__ for finding in findings])
        return
    ready = [one for one in findings if one.ok]
    fetched = [one for one in findings if not one.ok and one.fetch]
    yours = [one for one in findings if not one.ok and not one.fetch]
    _group("ready", "green", [(one.what, one.found) for one in ready])
    _group("can be fetched", "yellow", [(one.what, f"fetch {one.fetch}") for one in fetched])
    _group("needs you", "yellow", [(one.what, one.mend or one.found) for one in yours])
    if command:
        show("\nThis brings all that metrics lack:")
        show(f"    {command}")
    show("\n--json tells everything that each of these lacks.")


def _group(title: str, colour: str, rows: Sequence[tuple[str, str]]) -> None:
    """A heading, and a line each; names with the same text share their line's text."""
    if not rows:
        return
    width = max(shutil.get_terminal_size().columns, 40)
    typer.secho(f"\n{title}" if title != "ready" else title, fg=colour, bold=True)
    for what, told in _together(rows):
        room = width - max(NAME, len(what) + 1) - 2
        show(f"  {what:<{NAME - 1}} {textwrap.shorten(told, room, placeholder=' …')}")


def _together(rows: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """`metric x (a)` and `metric x (b)` with the same text as one row, `metric x`."""
    merged: dict[tuple[str, str], str] = {}
    for what, told in rows:
        merged.setdefault((what.partition(" (")[0], told), what)
    counts: dict[str, int] = {}
    for plain, _ in merged:
        counts[plain] = counts.get(plain, 0) + 1
    return [(plain if counts[plain] == 1 else what, told) for (plain, told), what in merged.items()]
