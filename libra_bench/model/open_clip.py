"""Towers published through open_clip (BiomedCLIP), read as transformers' own ViT.

open_clip wraps a vision transformer of timm; the architecture is the same as `ViTModel`, only the
names differ. So neither open_clip nor timm needs to be installed.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from libra_bench.core.errors import InputError
from libra_bench.core.files import read_json

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import ViTConfig

CONFIG = "open_clip_config.json"
WEIGHTS = "open_clip_pytorch_model.bin"

# timm's sizes: width, layers, heads.
SIZES = {
    "tiny": (192, 12, 3),
    "small": (384, 12, 6),
    "base": (768, 12, 12),
    "large": (1024, 24, 16),
}
INTERPOLATIONS = {"nearest": 0, "bilinear": 2, "bicubic": 3}

# timm's names inside a block → those of published ViT checkpoints. The fused query, key and value
# are cut apart before.
BLOCK = {
    "norm1": "layernorm_before",
    "attn.query": "attention.attention.query",
    "attn.key": "attention.attention.key",
    "attn.value": "attention.attention.value",
    "attn.proj": "attention.output.dense",
    "norm2": "layernorm_after",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}
OUTSIDE = {
    "cls_token": "embeddings.cls_token",
    "pos_embed": "embeddings.position_embeddings",
    "patch_embed.proj.weight": "embeddings.patch_embeddings.projection.weight",
    "patch_embed.proj.bias": "embeddings.patch_embeddings.projection.bias",
    "norm.weight": "layernorm.weight",
    "norm.bias": "layernorm.bias",
}
FIRST = "blocks.0.attn.qkv.weight"


def is_open_clip(folder: Path) -> bool:
    """Whether a tower's folder is laid out as open_clip publishes."""
    return (folder / CONFIG).is_file() and not (folder / "config.json").is_file()


def encoder_settings(folder: Path) -> ViTConfig:
    """The encoder's configuration.

    Raises:
        InputError: a tower that is no plain vision transformer of timm.
    """
    from transformers import ViTConfig

    vision = _section(folder, "model_cfg").get("vision_cfg") or {}
    name = str(vision.get("timm_model_name"))
    form = re.fullmatch(r"vit_(tiny|small|base|large)_patch(\d+)_(\d+)(\..+)?", name)
    if form is None:
        raise InputError(f"{folder / CONFIG}: {name!r} is not a vision transformer that is known")
    width, layers, heads = SIZES[form[1]]
    return ViTConfig(
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        patch_size=int(form[2]),
        image_size=_side(vision.get("image_size", int(form[3]))),
        layer_norm_eps=1e-6,
    )


def preprocessing(folder: Path) -> dict[str, Any]:
    """The preprocessing, in the form of a `preprocessor_config.json`.

    Raises:
        InputError: an interpolation or a way of resizing that is not known.
    """
    raw = _section(folder, "preprocess_cfg")
    vision = _section(folder, "model_cfg").get("vision_cfg") or {}
    side = _side(raw.get("size") or vision.get("image_size", 224))
    interpolation, mode = raw.get("interpolation", "bicubic"), raw.get("resize_mode", "shortest")
    if interpolation not in INTERPOLATIONS or mode not in ("shortest", "squash"):
        raise InputError(f"{folder / CONFIG}: resizing by {interpolation!r}, {mode!r} is not known")
    both = {"height": side, "width": side}
    return {
        "size": {"shortest_edge": side} if mode == "shortest" else both,
        "do_center_crop": mode == "shortest",
        "crop_size": both,
        "resample": INTERPOLATIONS[interpolation],
        # open_clip's defaults are OpenAI's CLIP constants.
        "image_mean": raw.get("mean", [0.48145466, 0.4578275, 0.40821073]),
        "image_std": raw.get("std", [0.26862954, 0.26130258, 0.27577711]),
    }


def published_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The image half of an open_clip checkpoint under the names of published ViT checkpoints.

    The half is found by its first block, whatever wraps it (`visual.trunk.`, `trunk.`, `vit.`).
    """
    prefix = next((name.removesuffix(FIRST) for name in state if name.endswith(FIRST)), None)
    if prefix is None:
        return state
    renamed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        # Projections to the space shared with texts, and the text half, are not looked at.
        if not name.startswith(prefix) or name.startswith(f"{prefix}head."):
            continue
        inner = name.removeprefix(prefix)
        block = re.fullmatch(r"blocks\.(\d+)\.(.+)\.(weight|bias)", inner)
        if block is None:
            renamed[OUTSIDE.get(inner, inner)] = tensor
        elif block[2] == "attn.qkv":
            for part, piece in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                renamed[_block_name(block[1], f"attn.{part}", block[3])] = piece
        else:
            renamed[_block_name(block[1], block[2], block[3])] = tensor
    return renamed


def _block_name(number: str, module: str, kind: str) -> str:
    return f"encoder.layer.{number}.{BLOCK.get(module, module)}.{kind}"


def _section(folder: Path, name: str) -> dict[str, Any]:
    section = read_json(folder / CONFIG).get(name)
    if not isinstance(section, dict):
        raise InputError(f"{folder / CONFIG}: no {name} in it")
    return section


def _side(value: Any) -> int:
    """The side of a square image, given as one number or two."""
    return int(value[0] if isinstance(value, list | tuple) else value)
