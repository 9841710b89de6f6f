"""`libra-bench train` and `libra-bench merge`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from libra_bench.cli import options
from libra_bench.cli.console import say, steps_progress, warn

# What is not an option of ours is an argument of Hugging Face's trainer.
PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


def train(
    context: typer.Context,
    stage: Annotated[str, typer.Option(help="align (the connector) or finetune (LoRA).")],
    model: Annotated[
        str,
        typer.Option(help="A checkpoint by name or folder, or a plain language model's folder."),
    ],
    data: Annotated[Path, typer.Option(help="Libra's training file, JSON.")],
    image_root: Annotated[Path, typer.Option(help="The folder below which the images lie.")],
    output: Annotated[Path, typer.Option(help="Folder for checkpoints and the trained model.")],
    model_base: options.ModelBase = None,
    vision_tower: options.VisionTower = None,
    connector: Annotated[
        str, typer.Option(help="For a plain language model: TAC, linear, mlpNx_gelu.")
    ] = "TAC",
    conv_mode: options.ConvMode = None,
    validation_data: Annotated[
        Path | None, typer.Option(help="A second file; the best checkpoint is chosen by it.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Only the first N conversations.", min=1)
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last whole checkpoint.")
    ] = False,
) -> None:
    """Train one of Libra's two stages. Any argument of Hugging Face's trainer is understood.

    For example --learning_rate 1e-4 --per_device_train_batch_size 8 --report_to tensorboard; and
    those of the published trainer: --lora_r, --lora_alpha, --lora_dropout, --lora_enable,
    --mm_projector_lr, --tune_mm_mlp_adapter, --tune_language_model, --unfreeze_mm_vision_tower,
    --model_max_length, --attn_implementation, --generation_metric, --generation_samples.
    """
    from libra_bench.training.run import TrainingSettings, train

    settings = TrainingSettings(
        stage=stage,
        model=model,
        data=data,
        image_root=image_root,
        output=output,
        model_base=model_base,
        vision_tower=vision_tower,
        connector=connector,
        conv_mode=conv_mode,
        validation_data=validation_data,
        limit=limit,
        resume=resume,
        given=context.args,
    )
    done = train(settings, say)
    if done.skipped:
        warn(f"{done.skipped} conversations were skipped: their images cannot be read")
    if done.speaks:
        best = f"; the best is {done.best}" if done.best else ""
        say(f"trained {done.steps} steps; the model is in {done.output}{best}")


def merge(
    model: Annotated[Path, typer.Option(help="An adapter or a connector, as `train` leaves it.")],
    model_base: options.NeededBase,
    output: Annotated[Path, typer.Option(help="Folder for the whole model.")],
    vision_tower: options.VisionTower = None,
    dtype: options.Dtype = "auto",
) -> None:
    """Put an adapter or a connector into its base, and save the whole model, the tower inside."""
    from libra_bench.training.merging import merge

    with steps_progress(f"merging {model} into {model_base}"):
        merge(model, model_base, output, vision_tower=vision_tower, dtype=dtype)
    say(f"the whole model is in {output}")
