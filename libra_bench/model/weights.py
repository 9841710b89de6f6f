"""Reading the files that weights come in."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from libra_bench.core.errors import InputError
from libra_bench.core.files import listing, read_json


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors of one `.safetensors` or `.bin` file.

    Raises:
        InputError: the file is truncated, or holds something else than tensors.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise InputError(f"{path}: broken or cut off ({error})") from None
    if not isinstance(loaded, dict):
        raise InputError(f"{path}: no table of tensors in it")
    return loaded


def weight_files(folder: Path, stem: str = "model", old: str = "pytorch_model") -> list[Path]:
    """The files that hold a folder's weights: one, or the shards that its index names.

    Raises:
        InputError: none, or a shard that is missing.
    """
    for name in (f"{stem}.safetensors", f"{old}.bin"):
        index = folder / f"{name}.index.json"
        if index.is_file():
            shards = sorted(set(read_json(index)["weight_map"].values()))
            missing = [shard for shard in shards if not (folder / shard).is_file()]
            if missing:
                raise InputError(f"{folder}: weights are missing: {listing(missing)}")
            return [folder / shard for shard in shards]
        if (folder / name).is_file():
            return [folder / name]
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
