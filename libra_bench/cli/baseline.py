"""`libra-bench baseline`: keep what later runs are held against."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from libra_bench.cli import gate_options as gate
from libra_bench.cli.check import EXIT_REGRESSION
from libra_bench.cli.console import complain, say, warn
from libra_bench.core.errors import InputError

if TYPE_CHECKING:
    from libra_bench.gate.baseline import Baseline

app = typer.Typer(
    no_args_is_help=True,
    help="A run's statistics by report as a small file without texts, images and paths.",
)

Folder = Annotated[Path | None, typer.Argument(metavar="RUN", help="The scored run folder.")]
Run = Annotated[Path | None, typer.Option("--run", help="The same, as an option.")]
Output = Annotated[Path, typer.Option(help="The baseline's file; gzipped where it ends with .gz.")]


def _one(folder: Path | None, run: Path | None) -> Path:
    if (folder is None) == (run is None):
        raise InputError("name the run folder once: `baseline save RUN --output FILE`")
    return folder or run or Path()


@app.command("save")
def save(output: Output, folder: Folder = None, run: Run = None) -> None:
    """Make a baseline of a run. A file that is there is not touched: `update` replaces it."""
    from libra_bench.core.outputs import check_file, sole_writer
    from libra_bench.gate import baseline
    from libra_bench.gate.updating import first

    place = _one(folder, run)
    check_file(output)
    with sole_writer(output):
        if output.exists():
            raise InputError(
                f"{output} is there already: `libra-bench baseline update --run {place} --output "
                f"{output}` replaces it where the run is no worse"
            )
        made = first(place)
        baseline.write(made, output)
    say(f"wrote {output}: {len(made.ids)} reports, {len(made.scores)} scores")
    _tell_valueless(made)


@app.command("update")
def update(
    output: Output,
    folder: Folder = None,
    run: Run = None,
    accept: Annotated[
        str | None,
        typer.Option(help="Why a run that is worse, or of another kind, is to be the baseline."),
    ] = None,
    margin: gate.Margin = None,
    alpha: gate.Alpha = None,
    strict: gate.Strict = None,
    by: gate.By = None,
    threshold: gate.Threshold = None,
    trials: gate.Trials = None,
    seed: gate.Seed = None,
    config: gate.Config = None,
) -> None:
    """Replace a baseline by a run. A worse run is refused (exit code 3) without --accept."""
    from libra_bench.core.outputs import check_file, sole_writer
    from libra_bench.gate import baseline
    from libra_bench.gate.updating import later

    settings = gate.settings(
        gate.configuration(config),
        margin=margin,
        threshold=threshold,
        alpha=alpha,
        strict=strict,
        by=by,
        trials=trials,
        seed=seed,
    )
    check_file(output)
    # Two updates at once would lose one of them from the history.
    with sole_writer(output):
        made, failing = later(_one(folder, run), output, settings, accept)
        if made is not None:
            baseline.write(made, output)
    if made is None:
        for one in failing:
            complain(f"{one.title}: {one.reason}")
        complain(f'{output} was kept; --accept "reason" replaces it all the same')
        raise typer.Exit(EXIT_REGRESSION)
    say(f"wrote {output}: {made.history[-1].verdict}, update {len(made.history)}")
    _tell_valueless(made)


def _tell_valueless(made: Baseline) -> None:
    if made.valueless:
        warn(f"no report has a value of {', '.join(made.valueless)}: this will not gate")
