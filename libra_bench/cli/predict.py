"""`libra-bench predict`: one study from the shell."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from libra_bench.cli import options
from libra_bench.cli.console import print_json, show, steps_progress, warn
from libra_bench.core.errors import InputError, RunError


def predict(
    image: Annotated[Path, typer.Option(help="The current image: JPG, PNG or DICOM.")],
    prior: Annotated[Path | None, typer.Option(help="The patient's previous image.")] = None,
    model: options.Model = "libra-tiny",
    indication: Annotated[str | None, typer.Option(help="Clinical context for the prompt.")] = None,
    model_base: options.ModelBase = None,
    vision_tower: options.VisionTower = None,
    conv_mode: options.ConvMode = None,
    protocol: options.ProtocolName = None,
    engine: options.Engine = "fast",
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    json: options.Json = False,
) -> None:
    """Write the report of one study to stdout."""
    from libra_bench.core.records import Example, Prediction
    from libra_bench.data.cohort import Cohort
    from libra_bench.data.images import load_image, resolve_image
    from libra_bench.data.prompts import question
    from libra_bench.generation.factory import SystemSettings, create_system
    from libra_bench.model import zoo

    for option, given in (("--image", image), ("--prior", prior)):
        if given is not None and not given.is_file():
            raise InputError(f"{option} {given}: no such file")
    if zoo.folder_of(model) is None and zoo.find(model).kind == "baseline":
        raise InputError(
            f"--model {model}: a text-only baseline, which reads no image; "
            f"`libra-bench run --model {model}` evaluates it"
        )
    images = [str(path.resolve()) for path in (image, prior) if path is not None]
    # The two images may lie anywhere, so the root is that of the file system.
    root = Path(image.resolve().anchor)
    for path in images:
        load_image(resolve_image(root, path))  # What is no image is told before a model is loaded.
    example = Example(
        question_id=image.name, image=images, text=question({"indication": indication or ""})
    )
    settings = SystemSettings(
        model=model,
        protocol=protocol,
        engine=engine,
        batch_size="1",
        device=device,
        dtype=dtype,
        model_base=model_base,
        vision_tower=vision_tower,
        conv_mode=conv_mode,
        image_root=root,
    )
    answers: list[Prediction] = []
    with steps_progress("reading the image"):
        system = create_system(settings, Cohort(name="one study", spec="", examples=[example]))
        system.check([example])
        system.generate([example], answers.append)
    if not system.trained:
        warn(f"{system.model_id} is untrained: its weights are random, its text means nothing")
    answer = answers[0]
    if answer.status == "failed":
        raise RunError(answer.error or "generation failed")
    if json:
        print_json(answer.model_dump(exclude_none=True))
    else:
        show(answer.text)
