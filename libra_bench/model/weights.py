"""Reading the files that weights come in."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from libra_bench.core.errors import InputError, cause_of_loading
from libra_bench.core.files import listing, read_json

KINDS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""Types that a model can compute in."""
LONGEST = 300
"""Characters of a library's error that are worth showing."""
COUNTS = ("position_ids", "num_batches_tracked")
"""Tensors of whole numbers that old releases saved beside the weights."""


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors of one `.safetensors` or torch file; a training checkpoint's `state_dict` of them.

    Raises:
        InputError: the file is truncated, holds something else than tensors, or weights that are
            not finite or of a type that nothing computes in.
    """
    try:
        loaded: Any = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except Exception as error:  # noqa: BLE001  # a damaged file can raise anything in torch.load
        raise InputError(f"{path}: broken or cut off ({cause_of_loading(error)})") from None
    if isinstance(loaded, dict) and isinstance(loaded.get("state_dict"), dict):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, dict):
        raise InputError(f"{path}: no table of tensors in it")
    _refuse_unusable(loaded, path)
    return {str(name): tensor for name, tensor in loaded.items()}


def weight_files(folder: Path, stem: str = "model", old: str = "pytorch_model") -> list[Path]:
    """The files that hold a folder's weights: one, or the shards that its index names.

    A whole file goes before an index beside it, as in transformers: such an index is left over.

    Raises:
        InputError: none, an index that is no index, or a shard that is missing.
    """
    for name in (f"{stem}.safetensors", f"{old}.bin"):
        if (folder / name).is_file():
            return [folder / name]
        index = folder / f"{name}.index.json"
        if index.is_file():
            return _shards(folder, index)
    raise InputError(f"{folder}: no weights in it ({stem}.safetensors or {old}.bin)")


def read_folder(folder: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint folder."""
    state: dict[str, Tensor] = {}
    for path in weight_files(folder):
        state.update(read_weights(path))
    return state


def fingerprint(files: list[Path]) -> str:
    """SHA-256 over the contents of weight files, in the order of their names.

    Read by memory-sized blocks: 14 GB take some seconds from a fast disk.
    """
    digest = hashlib.sha256()
    for path in sorted(files, key=lambda one: one.name):
        with path.open("rb") as stream:
            while block := stream.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()


def _shards(folder: Path, index: Path) -> list[Path]:
    raw = read_json(index)
    table = raw.get("weight_map") if isinstance(raw, dict) else None
    if (
        not isinstance(table, dict)
        or not table
        or not all(isinstance(shard, str) and shard for shard in table.values())
    ):
        raise InputError(f"{index}: no weight_map of tensors and their files in it")
    shards = sorted(set(table.values()))
    if strangers := [name for name in shards if Path(name).name != name or name == ".."]:
        raise InputError(f"{index}: shards must lie in its own folder: {listing(strangers)}")
    if missing := [shard for shard in shards if not (folder / shard).is_file()]:
        raise InputError(f"{folder}: weights are missing: {listing(missing)}")
    return [folder / shard for shard in shards]


def _refuse_unusable(state: dict[Any, Any], path: Path) -> None:
    """Raise InputError for what is no weight, all faults together."""
    faults = []
    for name, tensor in state.items():
        if not isinstance(tensor, Tensor):
            faults.append(f"{name} is no tensor but {type(tensor).__name__}")
        elif str(name).endswith(COUNTS):
            continue
        elif tensor.dtype not in KINDS:
            faults.append(f"{name} holds {str(tensor.dtype).removeprefix('torch.')}, not weights")
        elif not (finite := torch.isfinite(tensor)).all():
            count = int((~finite).sum())
            faults.append(f"{name} has {count} of {tensor.numel()} values that are not finite")
    if faults:
        raise InputError(f"{path}: weights that cannot be used: " + listing(faults))


def one_line(error: Exception) -> str:
    """What an error of a library says, without its line breaks; cut where it is long."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."
