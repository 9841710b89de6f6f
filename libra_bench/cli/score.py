"""`libra-bench score`: figures for a file of predictions; no model is loaded."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from libra_bench.cli import options
from libra_bench.cli.console import print_json, say, steps_progress, summary_table, warn_unscored
from libra_bench.cli.run import stop_unscored
from libra_bench.core.errors import InputError


def score(
    predictions: Annotated[
        Path | None,
        typer.Option(
            help="Predictions: JSONL (Libra's answers too), ReXrank's JSON, CSV, TSV, Parquet, "
            "or a text a line; `-` is standard input."
        ),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(help="A run folder instead: score it again, as it was or as named here."),
    ] = None,
    metrics: options.Metrics = None,
    references: Annotated[
        Path | None,
        typer.Option(help="References where they stand in a file of their own, matched by id."),
    ] = None,
    columns: options.Columns = None,
    profile: Annotated[
        str | None,
        typer.Option(help="libra (the default), coco or rexrank; of a run its own if unset."),
    ] = None,
    metric_option: options.MetricOption = None,
    per_report: Annotated[
        Path | None, typer.Option(help="Write a row a report to this Parquet file.")
    ] = None,
    subgroups: options.Subgroups = None,
    trials: Annotated[int | None, typer.Option(help="Bootstrap trials; 1,000.", min=1)] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the resampling; 0.", min=0)] = None,
    allow_unscored: options.AllowUnscored = False,
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """Score predictions against references, with intervals and signatures."""
    asked: dict[str, Any] = {
        "metrics": options.chosen(metrics, "--metrics"),
        "profile": profile,
        "options": options.metric_options(metric_option) or None,
        "subgroups": options.chosen(subgroups, "--subgroups"),
        "trials": trials,
        "seed": seed,
    }
    given = {name: value for name, value in asked.items() if value is not None}
    if (predictions is None) == (run is None):
        raise InputError("name either --predictions FILE or --run DIR")
    if per_report is not None:
        from libra_bench.core.outputs import check_file

        inputs = (predictions, references)
        check_file(per_report, option="--per-report", inputs=inputs, ours=_is_scores, force=force)
    if predictions is not None:
        summary = _texts(predictions, references, options.columns(columns), per_report, given)
    elif run is not None:
        if references or columns or per_report:
            raise InputError(
                "--run takes no --references, --columns or --per-report: a run folder holds its "
                "own references, and scores.parquet is a row a report"
            )
        summary = _run_folder(run, given)
    if json:
        print_json(summary)
        warn_unscored(summary)
    else:
        summary_table(summary)
    if not allow_unscored:
        stop_unscored(summary, asked["metrics"])


def _is_scores(file: Path) -> bool:
    """Whether a file is one that --per-report has written."""
    from pyarrow import ArrowException
    from pyarrow.parquet import read_schema

    try:
        return {"question_id", "prediction_hash", "profile"} <= set(read_schema(file).names)
    except ArrowException:
        return False


def _texts(
    predictions: Path,
    references: Path | None,
    columns: dict[str, str],
    per_report: Path | None,
    given: dict[str, Any],
) -> dict[str, Any]:
    from libra_bench.core.files import write_atomic
    from libra_bench.core.outputs import sole_writer
    from libra_bench.data.texts import read_pairs
    from libra_bench.runs.scoring import ScoringSettings, evaluate

    settings = ScoringSettings(**given)
    settings.check()
    examples, answers = read_pairs(predictions, references, columns)
    with ExitStack() as stack:
        if per_report is not None:
            stack.enter_context(sole_writer(per_report))
        with steps_progress("scoring") as show:
            result = evaluate(examples, answers, settings, show)
        if per_report is not None:
            write_atomic(per_report, result.frame.to_parquet(index=False))
    return {"n": len(examples), "profile": settings.profile, **result.summary()}


def _run_folder(path: Path, given: dict[str, Any]) -> dict[str, Any]:
    from libra_bench.cli.run import Console
    from libra_bench.pipeline import rescore

    outcome = rescore(path, given, observer=Console())
    for page in outcome.pages:
        say(f"wrote {page}")
    return outcome.summary
