"""`libra-bench run`: examples → generation → scoring → report, in one folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from libra_bench.cli import options
from libra_bench.cli.console import generation_progress, say, steps_progress, summary_table, warn
from libra_bench.core.errors import InputError

if TYPE_CHECKING:
    from libra_bench.generation.driver import Progress

EXIT_FAILURES = 4
DEFAULT_MODEL = "libra-tiny"


def run(
    model: options.Model = DEFAULT_MODEL,
    data: options.OptionalData = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            help="Somebody else's texts in place of a model: JSONL, ReXrank's JSON, CSV, TSV, "
            "Parquet, a text a line, `-`. Without --data their references are in the same file."
        ),
    ] = None,
    references: Annotated[
        Path | None, typer.Option(help="References beside --predictions, in place of --data.")
    ] = None,
    columns: options.Columns = None,
    split: Annotated[
        str, typer.Option(help="Split to evaluate, where the data has splits.")
    ] = "test",
    section: Annotated[str, typer.Option(help="findings or impression.")] = "findings",
    limit: options.Limit = None,
    output: Annotated[
        Path | None, typer.Option(help="The run folder; runs/… with the time if unset.")
    ] = None,
    metrics: options.Metrics = None,
    profile: options.Profile = "libra",
    metric_option: options.MetricOption = None,
    protocol: options.ProtocolName = None,
    prior_policy: Annotated[
        str | None, typer.Option(help="Rule for the prior image; the data's own if unset.")
    ] = None,
    corpus: Annotated[
        str | None,
        typer.Option(help="Training reports for indication-retrieval, as a --data SPEC."),
    ] = None,
    image_root: Annotated[
        Path | None, typer.Option(help="Folder of the images; the data's own if unset.")
    ] = None,
    model_base: options.ModelBase = None,
    vision_tower: options.VisionTower = None,
    conv_mode: options.ConvMode = None,
    num_beams: options.NumBeams = None,
    length_penalty: options.LengthPenalty = None,
    no_repeat_ngram_size: options.NoRepeatNgramSize = None,
    max_new_tokens: options.MaxNewTokens = None,
    min_new_tokens: options.MinNewTokens = None,
    temperature: options.Temperature = None,
    top_p: options.TopP = None,
    engine: options.Engine = "fast",
    batch_size: options.BatchSize = "auto",
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    subgroups: options.Subgroups = None,
    trials: options.Trials = 1000,
    seed: options.Seed = 0,
    max_failures: options.MaxFailures = 0,
    allow_unscored: options.AllowUnscored = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in --output by id.")
    ] = False,
) -> None:
    """Evaluate a model: generate its reports, score them, and write a page to read.

    Without options: the packaged model on the built-in synthetic cohort.
    """
    if resume and output is None:
        raise typer.BadParameter("--resume needs the --output of the run to continue")
    from libra_bench.generation.factory import SystemSettings
    from libra_bench.pipeline import Settings, evaluate
    from libra_bench.runs.scoring import ScoringSettings

    named = _texts_or_model(model, data, predictions, references, columns)
    settings = Settings(
        system=SystemSettings(
            model=named,
            predictions=predictions,
            columns=options.columns(columns),
            references_apart=data is not None or references is not None,
            protocol=protocol,
            overrides=options.decoding_overrides(
                num_beams,
                length_penalty,
                no_repeat_ngram_size,
                max_new_tokens,
                min_new_tokens,
                temperature,
                top_p,
            ),
            engine=engine,
            batch_size=batch_size,
            device=device,
            dtype=dtype,
            model_base=model_base,
            vision_tower=vision_tower,
            conv_mode=conv_mode,
            image_root=image_root,
            corpus=corpus,
        ),
        scoring=ScoringSettings(
            metrics=options.chosen(metrics, "--metrics"),
            profile=profile,
            options=options.metric_options(metric_option),
            subgroups=options.chosen(subgroups, "--subgroups"),
            trials=trials,
            seed=seed,
        ),
        data=data or ("" if predictions else "synthetic"),
        references=references,
        split=split,
        section=section,
        limit=limit,
        prior_policy=prior_policy,
    )
    outcome = evaluate(
        settings, output or _new_folder(named, settings.data), resume=resume, observer=Console()
    )
    summary_table(outcome.summary)
    for page in outcome.pages:
        say(f"wrote {page}")
    if outcome.failed > max_failures:
        warn(f"{outcome.failed} reports failed; {outcome.folder.predictions_file} says why")
        raise typer.Exit(EXIT_FAILURES)
    if not allow_unscored:
        stop_unscored(outcome.summary, settings.scoring.metrics)


def _texts_or_model(
    model: str,
    data: str | None,
    predictions: Path | None,
    references: Path | None,
    columns: str | None,
) -> str:
    """The name of who answers.

    Raises:
        InputError: options that do not go together.
    """
    if predictions is None:
        given = {"--references": references, "--columns": columns}
        alone = [name for name, value in given.items() if value is not None]
        if alone:
            raise InputError(f"{' and '.join(alone)}: only beside --predictions FILE")
        return model
    if model != DEFAULT_MODEL:
        raise InputError("--model and --predictions exclude each other: one of them answers")
    if data is not None and references is not None:
        raise InputError("--data and --references exclude each other: both name the references")
    return "standard-input" if str(predictions) == "-" else predictions.name


def stop_unscored(summary: dict[str, Any], named: Sequence[str] | None) -> None:
    """End with the code of failures where a metric that was named has no figure."""
    from libra_bench.runs.unscored import named_but_unscored

    missing = named_but_unscored(summary, named)
    if missing:
        warn(f"not scored, though named: {', '.join(missing)} (--allow-unscored exits with 0)")
        raise typer.Exit(EXIT_FAILURES)


def _new_folder(model: str, data: str) -> Path:
    """`runs/MODEL-DATA-TIME`: one folder a run, in order of time."""
    words = f"{Path(model).name}-{data.partition(':')[0] or 'texts'}-{datetime.now():%Y%m%d-%H%M%S}"
    return Path("runs") / words


class Console:
    """Shows a run on stderr."""

    def note(self, message: str) -> None:
        """A warning."""
        warn(message)

    @contextmanager
    def generating(self) -> Iterator[Callable[[Progress], None]]:
        """A bar over the reports."""
        with generation_progress("generating") as show:
            yield show

    @contextmanager
    def step(self, label: str) -> Iterator[Callable[[str], None]]:
        """A spinner."""
        with steps_progress(label) as show:
            yield show
