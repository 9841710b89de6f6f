"""`libra-bench export`: a run in the form that a leaderboard takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from libra_bench.cli.console import say, warn

SHOWN = 10
"""Ids that a warning names; the run folder lists all."""

app = typer.Typer(no_args_is_help=True, help="Write a run in a leaderboard's form.")


@app.callback()
def export() -> None:
    """Write a run in a leaderboard's form."""


@app.command()
def rexrank(
    run: Annotated[Path, typer.Option(help="The run folder.")],
    output: Annotated[Path, typer.Option(help="The JSON file to write.")],
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Write failed reports as empty ones.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the file that is there.")] = False,
) -> None:
    """Predictions as ReXrank takes them: {study_id: {…, model_prediction}}."""
    from libra_bench.core.outputs import check_file
    from libra_bench.export.rexrank import export as write

    # Nothing in a leaderboard's file says who made it.
    inputs = [one for one in run.glob("*") if one.is_file()]
    check_file(output, inputs=inputs, ours=lambda file: False, force=force)
    exported = write(run, output, allow_missing=allow_missing)
    missing = f", {len(exported.missing)} left out" if exported.missing else ""
    say(f"wrote {exported.studies} studies to {output}{missing}")
    for reason, ids in exported.reasons():
        warn(f"{len(ids)} not written: {reason} ({', '.join(ids[:SHOWN])}{_more(ids)})")
    if exported.missing:
        say(f"{run / 'dropped.csv'} lists them all; ReXrank evaluates every study of its file")
    if exported.limit is not None:
        warn(f"the run was made with --limit {exported.limit}; studies beyond it are not written")
    if exported.empty:
        warn(f"{len(exported.empty)} of them are empty: {', '.join(exported.empty)}")


def _more(ids: list[str]) -> str:
    return f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
