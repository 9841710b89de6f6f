"""`libra-bench check`: did the model, the code or its speed get worse?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from libra_bench.cli import gate_options as gate
from libra_bench.cli import options
from libra_bench.cli.console import say, warn
from libra_bench.core.errors import InputError

if TYPE_CHECKING:
    from libra_bench.configuration import Configuration
    from libra_bench.gate.judgement import Outcome

EXIT_REGRESSION = 3


def check(
    run: Annotated[
        Path | None, typer.Option(help="The run folder; if unset, [run] is evaluated now.")
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(
            help="A file of `baseline save`, a run folder, a summary.json (weaker); with --perf a "
            "record of `perf measure`."
        ),
    ] = None,
    metrics: Annotated[
        list[str] | None, typer.Option(help="Scores or metrics that gate; the baseline's if unset.")
    ] = None,
    margin: gate.Margin = None,
    alpha: gate.Alpha = None,
    strict: gate.Strict = None,
    by: gate.By = None,
    threshold: gate.Threshold = None,
    perf: Annotated[
        Path | None, typer.Option(help="A record of `perf measure`, held against --baseline.")
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML, a test a figure.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the table as Markdown.")] = None,
    text: Annotated[
        bool | None,
        typer.Option("--text/--no-text", help="Show the texts of the studies that moved most."),
    ] = None,
    link: Annotated[
        str | None, typer.Option(help="Where the run's pages lie; the Markdown points there.")
    ] = None,
    trials: gate.Trials = None,
    seed: gate.Seed = None,
    config: gate.Config = None,
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """Exit with 3 when something got worse than its baseline, and only then.

    Paired by report, patients exchanged, corrected over all figures (docs/gate.md). Without
    --run and --baseline everything comes from libra-bench.toml.
    """
    from libra_bench.cli.gate_show import show

    file = gate.configuration(config)
    settings = gate.settings(
        file,
        margin=margin,
        threshold=threshold,
        alpha=alpha,
        strict=strict,
        by=by,
        trials=trials,
        seed=seed,
        metrics=metrics,
    )
    table = file.tables.gate if file else None
    junit_file = junit or (file.place(table.junit) if file and table and table.junit else None)
    page = markdown or (file.place(table.markdown) if file and table and table.markdown else None)
    against = baseline or (file.baseline if file else None)
    _check_pages(junit_file, page, inputs=(run, against, perf, config), force=force)
    texts = text if text is not None else (table.text if table else True)
    outcomes: list[Outcome] = []
    pair: tuple[Path, Path] | None
    if perf is not None:
        if run is not None:
            raise InputError("--run and --perf have one --baseline each: check them one by one")
        if baseline is None:
            raise InputError("--perf needs the --baseline record that it is held against")
        pair = (perf, baseline)
    else:
        pair = _records(file) if run is None and baseline is None else None
    if pair is not None:
        from libra_bench.gate.speed import check_speed

        outcomes.append(check_speed(*pair, settings))
    if perf is None and (pair is None or _has_texts(file)):
        from libra_bench.gate.check import check_run

        if against is None:
            raise InputError("no --baseline, and no libra-bench.toml that names one")
        if not against.exists():
            raise InputError(
                f"{against}: no such baseline; `libra-bench baseline save --run DIR --output "
                f"{against}` makes it"
            )
        outcomes.insert(0, check_run(run or _evaluated(file), against, settings, texts=texts))
    outcome = outcomes[0].joined(outcomes[1:])
    show(
        outcome,
        as_json=json,
        junit_file=junit_file,
        markdown_file=page,
        link=link or (table.link if table else None),
    )
    if outcome.failing:
        raise typer.Exit(EXIT_REGRESSION)


def _check_pages(
    junit_file: Path | None, page: Path | None, *, inputs: Sequence[Path | None], force: bool
) -> None:
    """Refuse pages that must not, or cannot, be written, before anything is judged."""
    from libra_bench.core.outputs import check_file
    from libra_bench.gate import junit, markdown

    folders = [one for one in inputs if one is not None and one.is_dir()]
    read = [*inputs, *(file for folder in folders for file in folder.iterdir())]
    for option, path, ours in (
        ("--junit", junit_file, junit.is_ours),
        ("--markdown", page, markdown.is_ours),
    ):
        if path is not None:
            check_file(path, option=option, inputs=read, ours=ours, force=force)
    if junit_file is not None and page is not None and junit_file.resolve() == page.resolve():
        raise InputError(f"--junit and --markdown are both to be {page}")


def _records(file: Configuration | None) -> tuple[Path, Path] | None:
    """The record and its baseline that a configuration names."""
    if file is None or file.tables.perf is None:
        return None
    return file.place(file.tables.perf.record), file.place(file.tables.perf.baseline)


def _has_texts(file: Configuration | None) -> bool:
    """Whether a configuration gates texts too, and not speed alone."""
    return file is not None and (file.tables.run is not None or file.baseline is not None)


def _evaluated(file: Configuration | None) -> Path:
    """The folder of a new run of what the configuration says."""
    settings = file.run() if file else None
    if file is None or settings is None:
        raise InputError("no --run, and no libra-bench.toml whose [run] says what to evaluate")
    from libra_bench.cli.run import Console, _new_folder
    from libra_bench.pipeline import evaluate

    output = file.tables.run.output if file.tables.run else None
    place = file.place(output) if output else _new_folder(settings.system.model, settings.data)
    outcome = evaluate(settings, place, observer=Console())
    say(f"evaluated into {outcome.folder.path}")
    if outcome.failed:
        warn(f"{outcome.failed} reports failed; {outcome.folder.predictions_file} says why")
    return outcome.folder.path
