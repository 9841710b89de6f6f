"""`libra-bench perf`: what Libra costs, measured, tabled and planned."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from libra_bench.cli import options, perf_show
from libra_bench.cli.console import print_json, say, steps_progress
from libra_bench.core.errors import InputError

if TYPE_CHECKING:
    from libra_bench.perf.projection import Workload

app = typer.Typer(no_args_is_help=True, help="Throughput and cost: measure, table, plan, report.")

Prices = Annotated[
    Path | None, typer.Option(help="Your own prices, JSON, in the form of the packaged ones.")
]
Records = Annotated[
    Path | None, typer.Option(help="A folder of `perf measure` records, used where they fit.")
]
Shape = Annotated[str, typer.Option(help="libra-7b, libra-3b, cpu or micro: sizes, no weights.")]
Beams = Annotated[int, typer.Option(help="Beams.", min=1)]
Tokens = Annotated[int | None, typer.Option(help="New tokens of a report; 128 if unset.", min=1)]
Abreast = Annotated[
    int, typer.Option("--batch-size", help="Studies side by side in the fast engine.", min=1)
]
ALL_GPUS = "h100-sxm,h100-pcie,h200,a100,l40s,a6000"


@app.command("plan")
def plan(
    context: typer.Context,
    scenario: Annotated[
        str | None, typer.Option(help="`guide`: an often repeated calculation, and its premises.")
    ] = None,
    stage: Annotated[
        str, typer.Option(help="align, finetune, both, or evaluate: writing reports.")
    ] = "evaluate",
    samples: Annotated[
        int | None,
        typer.Option(
            help="Training samples, or reports. If unset Libra's own: its training data, whose "
            "hours are published, or the 2461 reports of the test set."
        ),
    ] = None,
    gpu: Annotated[
        str, typer.Option(help="Names with commas; the first is the baseline.")
    ] = "a6000,h100-sxm",
    gpus: Annotated[int, typer.Option(help="How many of each.")] = 1,
    shape: Shape = "libra-7b",
    epochs: Annotated[
        float | None, typer.Option(help="Passes over the samples; Libra's 1 and 3 if unset.")
    ] = None,
    batch: Annotated[int, typer.Option(help="Samples of an optimizer step, over all GPUs.")] = 16,
    micro_batch: Annotated[int, typer.Option(help="Samples on a GPU at a time.")] = 1,
    recompute: Annotated[bool, typer.Option(help="Gradient checkpointing.")] = True,
    engine: options.Engine = "fast",
    num_beams: Beams = 10,
    tokens: Tokens = None,
    batch_size: Abreast = 8,
    scaling_efficiency: Annotated[
        float | None, typer.Option(help="N GPUs do the work of N times this; 0.9 if unset.")
    ] = None,
    prices: Prices = None,
    records: Records = None,
    details: Annotated[
        bool, typer.Option("--details", help="With --json: reasons, memory and energy as well.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Days, dollars, memory and energy of a job, and which GPU to take."""
    from libra_bench.perf import plan as planning
    from libra_bench.perf import scenario as scenarios
    from libra_bench.perf.hardware import assumption, read_prices
    from libra_bench.perf.record import read_folder
    from libra_bench.perf.shape import named

    if scenario is not None:
        made = scenarios.named(scenario)
        _refuse_beside(context, "scenario", ("json", "details"))
    else:
        job = planning.Job(
            task=stage,
            samples=samples,
            shape=named(shape),
            epochs=planning.EPOCHS if epochs is None else dict.fromkeys(planning.EPOCHS, epochs),
            batch=batch,
            micro_batch=micro_batch,
            text=int(assumption("prompt_tokens") + assumption("answer_tokens")),
            recompute=recompute,
            work=_workload(engine, num_beams, tokens, batch_size),
        )
        made = planning.plan(
            job,
            options.names(gpu),
            count=gpus,
            prices=read_prices(prices),
            scaling_efficiency=(
                assumption("scaling_efficiency")
                if scaling_efficiency is None
                else scaling_efficiency
            ),
            records=read_folder(records) if records else {},
        )
    if json:
        extra: dict[str, Any] = {
            "details": [asdict(one) for one in made.scenarios],
            "recommendation": made.recommendation(),
            "assumes": made.assumes,
        }
        print_json(made.brief() | (extra if details else {}))
    else:
        perf_show.plan(made)


def _refuse_beside(context: typer.Context, option: str, allowed: tuple[str, ...]) -> None:
    """Refuse options that were given beside `option` and would not count."""
    given = [
        f"--{name.replace('_', '-')}"
        for name in context.params
        if name not in (option, *allowed)
        # By its name: typer brings an enumeration of its own.
        and getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"
    ]
    if given:
        raise InputError(f"--{option} has its own figures; {', '.join(given)} would not count")


@app.command("table")
def cost_table(
    gpu: Annotated[str, typer.Option(help="Names with commas.")] = ALL_GPUS,
    shape: Shape = "libra-7b",
    num_beams: Beams = 10,
    tokens: Tokens = None,
    batch_size: Abreast = 8,
    prices: Prices = None,
    records: Records = None,
    json: options.Json = False,
) -> None:
    """Throughput and cost of evaluation and training by GPU; every cell says what it rests on."""
    from libra_bench.generation.engines import ENGINES
    from libra_bench.perf import cost_table as tables
    from libra_bench.perf.hardware import read_prices
    from libra_bench.perf.projection import Utilisation
    from libra_bench.perf.record import read_folder
    from libra_bench.perf.shape import named

    found = read_folder(records) if records else {}
    offers, use, chosen = read_prices(prices), Utilisation.assumed(), options.names(gpu)
    works = [_workload(engine, num_beams, tokens, batch_size) for engine in ENGINES]
    evaluation = tables.evaluation(
        chosen, named(shape), works, prices=offers, records=found, use=use
    )
    training = tables.training(chosen, named(shape), prices=offers, records=found, use=use)
    if json:
        print_json({"evaluation": tables.as_json(evaluation), "training": tables.as_json(training)})
        return
    perf_show.costs(evaluation, training, shape, works[0])


@app.command("report")
def report(
    output: Annotated[Path, typer.Option(help="The folder for the pages and figures.")],
    records: Records = None,
    prices: Prices = None,
) -> None:
    """Write the tables and figures as README.md, perf.html and PNG files."""
    from libra_bench.perf.hardware import read_prices
    from libra_bench.perf.page import write_pages
    from libra_bench.perf.record import read_folder

    if output.exists() and not output.is_dir():
        raise InputError(f"--output {output}: a folder was expected, and this is a file")
    for path in write_pages(output, read_folder(records) if records else {}, read_prices(prices)):
        say(f"wrote {path}")


def _workload(engine: str, beams: int, tokens: int | None, side_by_side: int) -> Workload:
    from libra_bench.core.names import unknown_name
    from libra_bench.generation.engines import ENGINES
    from libra_bench.perf.hardware import assumption
    from libra_bench.perf.projection import Workload

    if engine not in ENGINES:
        raise unknown_name("engine", engine, ENGINES)
    return Workload(
        beams=beams,
        new_tokens=tokens or int(assumption("new_tokens")),
        prompt=int(assumption("prompt_tokens")),
        side_by_side=side_by_side,
        engine=engine,
    )


@app.command("measure")
def measure(
    model: Annotated[
        str | None,
        typer.Option(help="A name from `libra-bench models`, or a folder; libra-tiny if unset."),
    ] = None,
    model_base: options.ModelBase = None,
    vision_tower: options.VisionTower = None,
    random_weights: options.RandomWeights = False,
    shape: Annotated[
        str | None,
        typer.Option(help="Instead of a model, sizes: libra-7b, libra-3b, cpu, micro."),
    ] = None,
    stage: Annotated[
        str | None, typer.Option(help="align or finetune: training steps; else generation.")
    ] = None,
    engine: options.Engine = "fast",
    protocol: Annotated[str, typer.Option(help="Decoding; its token count is forced.")] = (
        "libra-paper"
    ),
    num_beams: options.NumBeams = None,
    tokens: Tokens = None,
    studies: Annotated[int, typer.Option(help="Reports of one repetition.", min=1)] = 8,
    batch_size: Abreast = 8,
    batch: Annotated[int, typer.Option(help="Training samples of a step.", min=1)] = 16,
    micro_batch: Annotated[int, typer.Option(help="Of them at a time.", min=1)] = 1,
    recompute: Annotated[bool, typer.Option("--recompute", help="Checkpoint gradients.")] = False,
    repetitions: Annotated[int, typer.Option(help="At least so many.", min=1)] = 3,
    seconds: Annotated[float, typer.Option(help="At least so long.", min=0)] = 1.0,
    warm_up: Annotated[int, typer.Option(help="Runs before, not timed.", min=0)] = 1,
    attention: Annotated[str, typer.Option(help="sdpa, eager or flash_attention_2.")] = "sdpa",
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    output: Annotated[Path | None, typer.Option(help="The record, JSON.")] = None,
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """Time reports or training steps on this device; every raw timing is kept."""
    from libra_bench.core.outputs import check_file
    from libra_bench.generation.protocols import protocol as named_protocol
    from libra_bench.perf import measure_generation, measure_training
    from libra_bench.perf.hardware import assumption
    from libra_bench.perf.measuring import Effort, use_attention
    from libra_bench.perf.record import write
    from libra_bench.perf.subjects import from_model, from_shape
    from libra_bench.runs.environment import commit, versions

    if model is not None and shape is not None:
        raise InputError("--model and --shape: one of them was expected, not both")
    if output is not None:
        check_file(output, ours=_is_record, force=force)
    decoding = named_protocol(protocol, num_beams=num_beams)
    effort = Effort(repetitions, seconds, warm_up)
    environment = {"versions": versions(), "commit": commit()}
    prompt, answer = int(assumption("prompt_tokens")), int(assumption("answer_tokens"))
    with steps_progress("measuring") as step:
        step("building the model")
        if shape is not None:
            subject = from_shape(shape, device=device, dtype=dtype)
        else:
            subject = from_model(
                model or "libra-tiny",
                model_base=model_base,
                vision_tower=vision_tower,
                device=device,
                dtype=dtype,
                random_weights=random_weights,
            )
        use_attention(subject.model, attention)
        step(f"{subject.model_id}, at least {repetitions} repetitions and {seconds:g} s")
        if stage is None:
            record = measure_generation.measure(
                subject,
                decoding,
                engine=engine,
                tokens=tokens or int(assumption("new_tokens")),
                studies=studies,
                side_by_side=batch_size,
                prompt=prompt,
                effort=effort,
                environment=environment,
            )
        else:
            record = measure_training.measure(
                subject,
                stage,
                batch=batch,
                micro_batch=micro_batch,
                prompt=prompt,
                answer=answer,
                recompute=recompute,
                effort=effort,
                environment=environment,
            )
    if output is not None:
        write(record, output)
        say(f"wrote {output}")
    if json:
        print_json(record.model_dump())
    else:
        perf_show.record(record)


def _is_record(file: Path) -> bool:
    """Whether a file is one that `measure` has written."""
    from libra_bench.perf.record import read

    return bool(read(file))
