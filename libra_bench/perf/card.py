"""What a person wants to know of a model before using it, counted from its shape."""

from __future__ import annotations

from typing import Any

from libra_bench.model import places, zoo
from libra_bench.perf.count_training import LORA_RANK, generation_memory, memory
from libra_bench.perf.shape import ModelShape, named, names, shape_of

PROMPT, NEW = 64, 256
"""Tokens of question and answer for which memory is stated."""
BATCH = 1
GRID = {"bfloat16": 2.0, "8 bits": 1.0, "4 bits": 0.5}
"""Bytes of a weight of the language model's linears; everything else stays in bfloat16."""


def shape_by_name(name: str) -> ModelShape | None:
    """The shape of a checkpoint's folder or a named model; no weights are read.

    None for a text-only baseline, and for a model whose files are not here and whose shape the
    package does not carry.

    Raises:
        InputError: an unknown name, or a folder that is no checkpoint.
    """
    if zoo.folder_of(name) is None:
        entry = zoo.find(name)
        if entry.kind == "baseline":
            return None
        if places.lacking(entry):
            return named(entry.name) if entry.name in names() else None
    from libra_bench.model.assembly import encoder_settings
    from libra_bench.model.configuration import read_config

    folder, tower = places.find_parts(name)
    return shape_of(read_config(folder), encoder_settings(tower))


def steps(shape: ModelShape) -> list[tuple[str, str]]:
    """The way of shapes from the two images of one study to the prompt: (step, shape)."""
    patches = f"{shape.image // shape.patch} × {shape.image // shape.patch}"
    kept, width = shape.image_tokens, shape.tower_width
    way = [
        ("images, current and prior", f"[2, 3, {shape.image}, {shape.image}]"),
        (f"patches of {shape.patch} px, {patches}", f"[2, {shape.tower_tokens}, {width}]"),
    ]
    if shape.connector == "TAC":
        way += [
            (
                f"hidden states of {shape.connector_layers} layers, no class token",
                f"[2, {shape.connector_layers}, {kept}, {width}]",
            ),
            ("TAC's feature extractor: layers to one", f"[2, {kept}, {width}]"),
            ("TAC's fusion: prior into current", f"[{kept}, {width}]"),
        ]
    else:
        way.append(("the last layer read, current image alone", f"[{kept}, {width}]"))
    return [
        *way,
        (f"connector {shape.connector}: projected", f"[{kept}, {shape.hidden}]"),
        ("prompt: the image's vectors and text", f"[{kept} + text, {shape.hidden}]"),
    ]


def parameters(shape: ModelShape) -> dict[str, int]:
    """Weights by part, norms and biases left out."""
    return {
        "vision tower": shape.tower_parameters,
        "connector": shape.connector_parameters,
        "language model": shape.language_parameters,
        "all": shape.parameters,
    }


def trained(shape: ModelShape, rank: int = LORA_RANK) -> dict[str, int]:
    """Weights that each stage trains.

    LoRA: rank × (in + out) of every linear of every decoder layer, r·Σ(in + out).
    """
    return {"align": shape.connector_parameters, "finetune": shape.lora_parameters(rank)}


def gigabytes(shape: ModelShape) -> dict[str, float]:
    """Memory on one GPU in 10^9 bytes, estimated: greedy generation, and a step of each stage."""
    used = generation_memory(
        shape, side_by_side=1, beams=1, prompt=PROMPT, new_tokens=NEW, engine="fast"
    )
    linears = shape.layers * shape.layer_parameters
    found = {
        f"generation, {name}": used.total - linears * (2.0 - width) for name, width in GRID.items()
    }
    for stage in ("align", "finetune"):
        training = memory(shape, stage, batch=BATCH, text=PROMPT + NEW, recompute=True)
        found[f"training, {stage}"] = training.total
    return {name: value / 1e9 for name, value in found.items()}


def card(shape: ModelShape) -> dict[str, Any]:
    """All of it, for `--json`."""
    return {
        "steps": [{"step": step, "shape": told} for step, told in steps(shape)],
        "parameters": parameters(shape),
        "trained": trained(shape),
        "lora_rank": LORA_RANK,
        "gigabytes": gigabytes(shape),
        "assumed": {"prompt_tokens": PROMPT, "new_tokens": NEW, "batch": BATCH},
    }
