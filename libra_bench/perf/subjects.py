"""Models to be measured: checkpoints, or sizes with random weights."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from libra_bench.core.errors import InputError, RunError
from libra_bench.model import zoo
from libra_bench.model.loading import load_model, resolve_device, resolve_dtype
from libra_bench.perf.measuring import Subject
from libra_bench.perf.random_model import build
from libra_bench.perf.shape import ModelShape, named, names


def from_model(
    name: str,
    *,
    model_base: Path | None = None,
    vision_tower: Path | None = None,
    device: str = "auto",
    dtype: str = "auto",
    random_weights: bool = False,
) -> Subject:
    """A checkpoint of a folder or of the zoo.

    Args:
        random_weights: a checkpoint's configuration is enough; of a model whose shape is packaged
            not even that is needed.

    Raises:
        InputError: an unknown name, weights that are missing, files that do not fit.
        RunError: it does not fit into memory.
    """
    packaged = random_weights and name in set(names()) & set(zoo.ZOO)
    if packaged and zoo.is_present(zoo.find(name)) is None:
        return from_shape(name, device=device, dtype=dtype)
    with _room_for(name):
        loaded = load_model(
            name,
            model_base=model_base,
            vision_tower=vision_tower,
            device=device,
            dtype=dtype,
            random_weights=random_weights,
        )
    if loaded.config.is_own_form:
        raise InputError(f"{name}: MAIRA-2's own form is not measured; Libra's form of it is")
    return Subject(
        loaded.model,
        loaded.model_id,
        not loaded.trained,
        loaded.eos_token_ids,
        loaded.tokenizer.pad_token_id,
    )


def from_shape(name: str, *, device: str = "auto", dtype: str = "auto") -> Subject:
    """A packaged shape with random weights.

    Raises:
        InputError: an unknown name, or more weights than the machine has free memory.
        RunError: it does not fit into a GPU's memory.
    """
    sizes, place, kind = named(name), resolve_device(device), resolve_dtype(dtype, device)
    _refuse_too_large(name, sizes, place, kind)
    with _room_for(name):
        return Subject(build(sizes, device=str(place), dtype=kind), name, True, [2], 0)


def _refuse_too_large(
    name: str, shape: ModelShape, device: torch.device, kind: torch.dtype
) -> None:
    """A process that asks for too much of a CPU's memory is killed without a word."""
    try:
        free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return  # A platform that does not tell.
    needed = shape.parameters * kind.itemsize
    if device.type == "cpu" and needed > free:
        raise InputError(
            f"{name} in {str(kind).removeprefix('torch.')} takes {needed / 1e9:.0f} GB, this "
            f"machine has {free / 1e9:.0f}; --shape cpu is small enough for any"
        )


@contextmanager
def _room_for(name: str) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError:
        raise RunError(f"out of memory: {name} does not fit on this GPU") from None
