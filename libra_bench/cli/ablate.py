"""`libra-bench ablate`: does the prior image matter?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from libra_bench.cli import options
from libra_bench.cli.console import generation_progress, number, print_json, say, table


def ablate(
    output: Annotated[Path, typer.Option(help="Folder for predictions and ablation.json.")],
    model: options.Model = "libra-tiny",
    data: options.Data = "synthetic",
    split: Annotated[str, typer.Option(help="train, validate or test.")] = "test",
    limit: options.Limit = None,
    baselines: Annotated[
        str, typer.Option(help="Text-only systems beside it, with commas; empty for none.")
    ] = "normal-template,indication-retrieval",
    model_base: options.ModelBase = None,
    vision_tower: options.VisionTower = None,
    protocol: options.ProtocolName = None,
    num_beams: options.NumBeams = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    trials: options.Trials = 10_000,
    seed: options.Seed = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Continue --output by id.")] = False,
    json: options.Json = False,
) -> None:
    """The studies with a prior: with their true prior, with none, with another patient's."""
    from libra_bench.ablation import ablate
    from libra_bench.core.files import read_json
    from libra_bench.data.corpora import load
    from libra_bench.generation.factory import SystemSettings
    from libra_bench.report.ablation import TITLES

    cohort = load(data, split=split, limit=limit)
    settings = SystemSettings(
        model=model,
        protocol=protocol,
        overrides={"num_beams": num_beams},
        model_base=model_base,
        vision_tower=vision_tower,
        device=device,
        dtype=dtype,
    )
    with generation_progress("ablating") as show:
        rows = ablate(
            settings,
            cohort,
            output,
            baselines=options.names(baselines),
            resume=resume,
            trials=trials,
            seed=seed,
            progress=lambda name, progress: show(progress),
        )
    if json:
        print_json(read_json(output / "ablation.json"))
        return
    for figure in dict.fromkeys(row.figure for row in rows):
        table(
            ("", "value", "95 % interval", "lost", "95 % interval", "p"),
            [
                (
                    row.condition,
                    number(row.value, 1),
                    f"{number(row.low, 1)} – {number(row.high, 1)}",
                    number(row.difference, 1),
                    f"{number(row.difference_low, 1)} – {number(row.difference_high, 1)}",
                    number(row.p, 4),
                )
                for row in rows
                if row.figure == figure
            ],
            title=f"{TITLES.get(figure, figure)}, {rows[0].n} studies",
        )
    say(f"lost: against the true prior. The same to read: {output / 'ablation.md'}")
