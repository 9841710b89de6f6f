"""Checkpoints of a training run: each is a model in the published layout, and can be resumed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from libra_bench.core.errors import InputError
from libra_bench.core.files import write_atomic, write_json
from libra_bench.model.assembly import CONNECTOR, TOWER, assemble
from libra_bench.model.lora import PREFIX
from libra_bench.model.saving import (
    connector_state,
    copy_tokenizer,
    copy_tower,
    published_state,
    write_bin,
    write_safetensors,
)
from libra_bench.model.weights import read_folder, read_weights
from libra_bench.training.module import ADAPTER, TrainedLibra

WHOLE = "complete"
"""A file of this name is written last: a checkpoint without it was cut off."""
CONNECTOR_FILE, EXTRA_FILE = "mm_projector.bin", "non_lora_trainables.bin"
LANGUAGE, OWN_CONNECTOR, ENCODER = (
    "model.language_model.",
    "model.connector.",
    "model.vision_tower.encoder.",
)


@dataclass(frozen=True)
class Origin:
    """Where the model came from, and what is copied from there.

    Attributes:
        raw: its `config.json`.
        base: name or folder of the base that an adapter belongs to.
        tokenizer, tower: folders.
    """

    raw: dict[str, Any]
    base: str
    tokenizer: Path
    tower: Path


def write_layout(
    module: TrainedLibra, folder: Path, origin: Origin, state: dict[str, Tensor] | None = None
) -> None:
    """The learned weights in the layout that was published for what learned.

    LoRA: adapter and `non_lora_trainables.bin`. Connector alone: `mm_projector.bin`. Anything
    else: the whole model with its tokenizer.

    Args:
        state: the module's tensors, gathered from all processes; its own if None.
    """
    state = module.state_dict() if state is None else state
    connector = connector_state(_below(state, OWN_CONNECTOR))
    config = {**origin.raw, "vocab_size": module.model.config.language.vocab_size}
    if "libra_bench" in config:  # An untrained model says so there.
        config["libra_bench"] = {**config["libra_bench"], "trained": True}
    write_json(folder / "config.json", config)
    if module.language_learns or module.tower_learns:
        _write_whole(module, folder, origin, state, connector)
    elif module.lora:
        write_bin(folder / EXTRA_FILE, {f"{PREFIX}{name}": one for name, one in connector.items()})
        _write_adapter(module, folder, origin, _below(state, LANGUAGE))
    else:
        write_bin(folder / CONNECTOR_FILE, connector)


def read_layout(module: TrainedLibra, folder: Path, origin: Origin) -> None:
    """Put a checkpoint's weights back into the module that wrote it.

    Raises:
        InputError: files that are missing, broken, or of another model.
    """
    if module.language_learns or module.tower_learns:
        _read_whole(module, folder, origin)
        return
    path = folder / (EXTRA_FILE if module.lora else CONNECTOR_FILE)
    saved = {name.removeprefix(PREFIX): one for name, one in read_weights(path).items()}
    _load(
        module.model.connector, {n.removeprefix(CONNECTOR): one for n, one in saved.items()}, path
    )
    if module.lora:
        path = folder / "adapter_model.safetensors"
        own = {
            name: one
            for name, one in module.model.language_model.state_dict().items()
            if "lora_" in name
        }
        adapter = {_inner(name): one for name, one in read_weights(path).items()}
        if set(own) != set(adapter):
            raise InputError(f"{path}: not the adapter of this model")
        module.model.language_model.load_state_dict(adapter, strict=False)


def mark_whole(folder: Path) -> None:
    """Say that a checkpoint was written to its end, and which files it has."""
    names = sorted(str(one.relative_to(folder)) for one in folder.rglob("*") if one.is_file())
    write_atomic(folder / WHOLE, "".join(f"{name}\n" for name in names if name != WHOLE))


def whole_checkpoints(output: Path) -> list[Path]:
    """Checkpoints written to their end, and not deleted in part, oldest first."""
    return sorted((path for path in output.glob("checkpoint-*") if _is_whole(path)), key=step_of)


def cut_off_checkpoints(output: Path) -> list[Path]:
    """Checkpoints whose writing, or whose deletion, was interrupted."""
    return [path for path in output.glob("checkpoint-*") if not _is_whole(path)]


def _is_whole(folder: Path) -> bool:
    mark = folder / WHOLE
    if not mark.is_file():
        return False
    # An earlier version named no files.
    return all((folder / name).is_file() for name in mark.read_text(encoding="utf-8").splitlines())


def step_of(folder: Path) -> int:
    """The step after which a checkpoint was written."""
    found = re.fullmatch(r"checkpoint-(\d+)", folder.name)
    return int(found[1]) if found else -1


def _below(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): one for n, one in state.items() if n.startswith(prefix)}


def _outer(name: str) -> str:
    """An adapter's tensor by the name that PEFT gives it in a file."""
    return PREFIX + name.replace(f".{ADAPTER}.weight", ".weight")


def _inner(name: str) -> str:
    return name.removeprefix(PREFIX).replace(".weight", f".{ADAPTER}.weight")


def _write_adapter(
    module: TrainedLibra, folder: Path, origin: Origin, language: dict[str, Tensor]
) -> None:
    lora = module.lora
    assert lora is not None
    adapter = {_outer(name): one for name, one in language.items() if "lora_" in name}
    write_safetensors(folder / "adapter_model.safetensors", adapter)
    write_json(
        folder / "adapter_config.json",
        {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": origin.base,
            "r": lora.r,
            "lora_alpha": lora.alpha,
            "lora_dropout": lora.dropout,
            "bias": "none",
            "fan_in_fan_out": False,
            "inference_mode": True,
            "target_modules": module.adapted,
        },
    )


def _write_whole(
    module: TrainedLibra,
    folder: Path,
    origin: Origin,
    state: dict[str, Tensor],
    connector: dict[str, Tensor],
) -> None:
    model = module.model
    everything = connector | published_state(model.language_model, _below(state, LANGUAGE))
    everything |= published_state(model.vision_tower.encoder, _below(state, ENCODER), TOWER)
    write_safetensors(folder / "model.safetensors", everything)
    copy_tokenizer(origin.tokenizer, folder)
    copy_tower(origin.tower, folder)


def _read_whole(module: TrainedLibra, folder: Path, origin: Origin) -> None:
    model = module.model
    fresh = assemble(model.config, read_folder(folder), origin.tower, folder)
    with torch.no_grad():
        model.load_state_dict(fresh.state_dict())


def _load(connector: Any, state: dict[str, Tensor], path: Path) -> None:
    try:
        connector.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(f"{path}: not the connector of this model ({error})") from None
