"""`libra-bench perf`: what Libra costs, measured, tabled and planned."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from libra_bench.cli import options
from libra_bench.cli.console import number, print_json, say, steps_progress, table, warn

if TYPE_CHECKING:
    from libra_bench.perf.measuring import Subject
    from libra_bench.perf.plan import Plan
    from libra_bench.perf.projection import Workload
    from libra_bench.perf.record import Record

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
    scenario: Annotated[
        str | None, typer.Option(help="`guide`: an often repeated calculation, and its premises.")
    ] = None,
    stage: Annotated[
        str, typer.Option(help="align, finetune, both, or evaluate: writing reports.")
    ] = "evaluate",
    samples: Annotated[
        int | None, typer.Option(help="Training samples, or reports: 2461, the test set, if unset.")
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
    from libra_bench.perf.hardware import assumption, read_prices
    from libra_bench.perf.record import read_folder
    from libra_bench.perf.shape import named

    if scenario is not None:
        made = planning.scenario(scenario)
    else:
        job = planning.Job(
            task=stage,
            samples=samples if samples is not None else planning.default_samples(stage),
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
        _show_plan(made)


def _show_plan(made: Plan) -> None:
    columns = ("GPU", "hours", "days", "USD", "basis", "memory", "energy", "speed-up", "break-even")
    rows = []
    for one in made.scenarios:
        memory = "–"
        if one.memory_gigabytes is not None:
            memory = f"{one.memory_gigabytes:.0f} GB{'' if one.fits else ': does not fit'}"
        rows.append(
            (
                one.label,
                number(one.hours, 1),
                number(one.days),
                number(one.cost_usd),
                one.basis,
                memory,
                f"{one.kilowatt_hours:,.1f} kWh",
                "" if one.speedup is None else f"{one.speedup:.2f}×",
                "" if one.break_even_speedup is None else f"{one.break_even_speedup:.2f}×",
            )
        )
    table(columns, rows)
    say("")
    say(made.recommendation())
    say(
        "A GPU saves money only where its speed-up exceeds the break-even: the ratio of the prices."
    )
    for one in made.scenarios:
        paid = f". {one.usd_per_hour:g} USD an hour: {one.price_source}" if one.usd_per_hour else ""
        say(f"  {one.label}: {one.basis}: {one.how}{paid}")
        for gap in one.gaps:
            warn(gap)
    for premise in made.assumes:
        say(f"  assumed: {premise}")


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
    training = tables.training(chosen, prices=offers, records=found, use=use)
    if json:
        print_json({"evaluation": tables.as_json(evaluation), "training": tables.as_json(training)})
        return
    for title, rows, columns in (
        ("Evaluation", evaluation, tables.EVALUATION),
        ("Training Libra-7B", training, tables.TRAINING),
    ):
        table(
            ("GPU", "", *columns.values()),
            [
                (row.gpu, row.label, *(tables.text(row.cells[name]) for name in columns))
                for row in rows
            ],
            title,
        )
    say("m measured · p published · ≈ projected; --json says how each cell came about")
    for gap in tables.gaps([*evaluation, *training]):
        warn(gap)


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

    for path in write_pages(output, read_folder(records) if records else {}, read_prices(prices)):
        say(f"wrote {path}")


@app.command("measure")
def measure(
    model: Annotated[
        str | None, typer.Option(help="A name from `libra-bench models`, or a folder.")
    ] = None,
    shape: Annotated[
        str | None, typer.Option(help="Instead of a model: sizes with random weights.")
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
    random_weights: options.RandomWeights = False,
    output: Annotated[Path | None, typer.Option(help="The record, JSON.")] = None,
    json: options.Json = False,
) -> None:
    """Time reports or training steps on this device; every raw timing is kept."""
    from libra_bench.generation.protocols import protocol as named_protocol
    from libra_bench.perf import measure_generation, measure_training
    from libra_bench.perf.hardware import assumption
    from libra_bench.perf.measuring import Effort, use_attention
    from libra_bench.perf.record import write
    from libra_bench.runs.environment import commit, versions

    decoding = named_protocol(protocol, num_beams=num_beams)
    effort = Effort(repetitions, seconds, warm_up)
    environment = {"versions": versions(), "commit": commit()}
    prompt, answer = int(assumption("prompt_tokens")), int(assumption("answer_tokens"))
    with steps_progress("measuring") as step:
        step("building the model")
        subject = _subject(model, shape, device, dtype, random_weights)
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
        _show_record(record)


def _show_record(record: Record) -> None:
    settings = ", ".join(f"{name} {value}" for name, value in record.settings.items())
    say(f"{record.model} on {record.device}, {record.dtype}, {record.attention}: {settings}")
    rows = [
        (name, "–" if value is None else f"{value:.4g}", record.gaps.get(name, ""))
        for name, value in record.results.items()
    ]
    table(("figure", "value", "why not"), rows)
    if record.random_weights:
        say("random weights: these are times, nothing is said of quality")


def _subject(
    model: str | None, shape: str | None, device: str, dtype: str, random_weights: bool
) -> Subject:
    """The model to be measured: a checkpoint, or a shape with random weights."""
    from libra_bench.core.errors import InputError
    from libra_bench.model.loading import load_model, resolve_device, resolve_dtype
    from libra_bench.perf.measuring import Subject
    from libra_bench.perf.random_model import build
    from libra_bench.perf.shape import named

    if (model is None) == (shape is None):
        raise InputError("one of --model and --shape was expected")
    if model is not None:
        loaded = load_model(model, device=device, dtype=dtype, random_weights=random_weights)
        return Subject(
            loaded.model,
            loaded.model_id,
            not loaded.trained,
            loaded.eos_token_ids,
            loaded.tokenizer.pad_token_id,
        )
    sizes = named(str(shape))
    place, kind = resolve_device(device), resolve_dtype(dtype, device)
    return Subject(build(sizes, device=str(place), dtype=kind), str(shape), True, [2], 0)


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
