"""Writing checkpoints in the published layouts, whole or not at all."""

from __future__ import annotations

import io
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as serialise
from torch import Tensor

from libra_bench.core.files import read_json, write_atomic, write_json
from libra_bench.model.assembly import CONNECTOR, TOWER, quietly
from libra_bench.model.libra import LibraModel
from libra_bench.model.places import TOWER_FOLDER
from libra_bench.model.weights import read_folder

TOKENIZER_FILES = (
    "tokenizer.model",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "generation_config.json",
)


def save_model(model: LibraModel, path: Path, *, dtype: torch.dtype | None = None) -> None:
    """All weights under their published names, in one `.safetensors` file.

    Args:
        dtype: of the file; that of each tensor if None.
    """
    state = connector_state(model.connector.state_dict())
    state |= published_state(model.language_model, model.language_model.state_dict())
    state |= published_state(
        model.vision_tower.encoder, model.vision_tower.encoder.state_dict(), TOWER
    )
    write_safetensors(path, state, dtype=dtype)


def connector_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A connector's tensors under their published names."""
    return {f"{CONNECTOR}{name}": tensor.detach() for name, tensor in state.items()}


def published_state(part: Any, state: dict[str, Tensor], prefix: str = "") -> dict[str, Tensor]:
    """The tensors of a model of transformers under the names of published files.

    The names of modules change between releases of transformers; `save_pretrained` writes those
    of published files, which every release reads.
    """
    with tempfile.TemporaryDirectory() as folder, quietly():
        part.save_pretrained(folder, state_dict=state)
        return {f"{prefix}{name}": one for name, one in read_folder(Path(folder)).items()}


def write_safetensors(
    path: Path, state: dict[str, Tensor], *, dtype: torch.dtype | None = None
) -> None:
    """Tensors into one file, atomically."""
    ready = {
        name: tensor.detach().to("cpu", dtype or tensor.dtype).contiguous()
        for name, tensor in state.items()
    }
    write_atomic(path, serialise(ready, metadata={"format": "pt"}))


def write_bin(path: Path, state: dict[str, Tensor]) -> None:
    """Tensors into one file of torch's own format, atomically."""
    buffer = io.BytesIO()
    torch.save({name: tensor.detach().cpu().clone() for name, tensor in state.items()}, buffer)
    write_atomic(path, buffer.getvalue())


def copy_tokenizer(source: Path, target: Path) -> None:
    """The tokenizer's files and the generation settings of a checkpoint."""
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            write_atomic(target / name, (source / name).read_bytes())


def copy_tower(source: Path, target: Path) -> None:
    """A vision tower's settings into `vision_tower` below a checkpoint that holds its weights."""
    if source.is_file():  # The configuration of one of open_clip's.
        content = {"model_cfg": read_json(source), "preprocess_cfg": {}}
        write_json(target / TOWER_FOLDER / "open_clip_config.json", content)
        return
    for name in ("config.json", "preprocessor_config.json", "open_clip_config.json"):
        if (source / name).is_file():
            write_atomic(target / TOWER_FOLDER / name, (source / name).read_bytes())


def remove(folder: Path) -> None:
    """A folder with all in it, if it is there."""
    if folder.is_dir():
        shutil.rmtree(folder)
