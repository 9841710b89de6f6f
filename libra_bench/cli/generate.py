"""`libra-bench generate`: examples in, predictions out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from libra_bench.cli import options
from libra_bench.cli.console import generation_progress, say, steps_progress, warn
from libra_bench.cli.run import EXIT_FAILURES


def generate(
    model: options.Model,
    examples: Annotated[Path, typer.Option(help="Libra's evaluation format, JSONL.")],
    image_root: Annotated[Path, typer.Option(help="The folder below which the images lie.")],
    output: Annotated[Path, typer.Option(help="The predictions, JSONL.")],
    model_base: options.ModelBase = None,
    vision_tower: options.VisionTower = None,
    conv_mode: options.ConvMode = None,
    protocol: options.ProtocolName = None,
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
    random_weights: options.RandomWeights = False,
    shard: Annotated[
        str | None, typer.Option(help="K/N: only the K-th of N equal parts, from 1.")
    ] = None,
    corpus: Annotated[
        str | None,
        typer.Option(help="Training reports for indication-retrieval, as a --data SPEC."),
    ] = None,
    max_failures: options.MaxFailures = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Continue --output by id.")] = False,
) -> None:
    """Write a model's reports for a file of examples; each is on disk as soon as it is done."""
    from libra_bench.core.outputs import check_file
    from libra_bench.data.corpora import load
    from libra_bench.generation.driver import Driver
    from libra_bench.generation.factory import SystemSettings, create_system
    from libra_bench.generation.log import PredictionLog
    from libra_bench.generation.shards import take

    check_file(output, inputs=(examples,))
    cohort = load(f"jsonl:{examples}")
    cohort.examples = take(cohort.examples, shard) if shard else cohort.examples
    settings = SystemSettings(
        model=model,
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
        random_weights=random_weights,
        image_root=image_root,
        corpus=corpus,
    )
    for note in cohort.notes:
        warn(note)
    with steps_progress(f"loading {model}"):
        system = create_system(settings, cohort)
    if not system.trained:
        warn(f"{system.model_id} is untrained: its weights are random, its texts mean nothing")
    # Before the output is there: input that cannot be used leaves no file behind.
    system.check(cohort.examples)
    with PredictionLog(output, resume=resume) as log:
        with generation_progress("generating") as show:
            Driver(system, log, show).run(cohort.examples)
        predictions = log.finish(cohort.examples)
    failed = sum(one.status == "failed" for one in predictions)
    say(f"wrote {len(predictions)} predictions to {output}, {failed} of them failed")
    if failed > max_failures:
        raise typer.Exit(EXIT_FAILURES)
