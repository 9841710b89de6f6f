"""`libra-bench score`: figures for a file of predictions; no model is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from libra_bench.cli import options
from libra_bench.cli.console import print_json, steps_progress, summary_table, warn
from libra_bench.cli.run import stop_unscored


def score(
    predictions: Annotated[
        Path,
        typer.Option(
            help="Predictions: JSONL (Libra's answers too), ReXrank's JSON, CSV, TSV, Parquet, "
            "or a text a line; `-` is standard input."
        ),
    ],
    metrics: options.Metrics = None,
    references: Annotated[
        Path | None,
        typer.Option(help="References where they stand in a file of their own, matched by id."),
    ] = None,
    columns: options.Columns = None,
    profile: options.Profile = "libra",
    metric_option: options.MetricOption = None,
    per_report: Annotated[
        Path | None, typer.Option(help="Write a row a report to this Parquet file.")
    ] = None,
    subgroups: options.Subgroups = None,
    trials: options.Trials = 1000,
    seed: options.Seed = 0,
    allow_unscored: options.AllowUnscored = False,
    json: options.Json = False,
) -> None:
    """Score predictions against references, with intervals and signatures."""
    from libra_bench.core.files import write_atomic
    from libra_bench.data.texts import read_pairs
    from libra_bench.runs.scoring import ScoringSettings, evaluate

    settings = ScoringSettings(
        metrics=options.chosen(metrics, "--metrics"),
        profile=profile,
        options=options.metric_options(metric_option),
        subgroups=options.chosen(subgroups, "--subgroups"),
        trials=trials,
        seed=seed,
    )
    settings.check()
    examples, answers = read_pairs(predictions, references, options.columns(columns))
    with steps_progress("scoring") as show:
        result = evaluate(examples, answers, settings, show)
    if per_report is not None:
        write_atomic(per_report, result.frame.to_parquet(index=False))
    summary = {"n": len(examples), "profile": profile, **result.summary()}
    if json:
        print_json(summary)
        for name, gap in summary["not_scored"].items():
            warn(f"{name} is not scored: {gap['reason']}. To mend it: {gap['mend']}")
    else:
        summary_table(summary)
    if not allow_unscored:
        stop_unscored(summary, settings.metrics)
