"""Towers published through open_clip (BiomedCLIP), read as transformers' own ViT or DINOv2.

open_clip wraps a vision transformer of timm; the architecture is the same as `ViTModel`, or as
`Dinov2Model` where timm's name says so, only the names differ. So neither open_clip nor timm needs
to be installed. A tower is a folder in open_clip's layout, or the file of its configuration (as in
LLaVA-Rad's page, whose `config.json` names the weights beside it).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from libra_bench.core.errors import InputError
from libra_bench.core.files import read_json

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PretrainedConfig

CONFIG = "open_clip_config.json"
WEIGHTS = "open_clip_pytorch_model.bin"
CXR_CONFIG = "biomedclipcxr_518.json"
"""The configuration in LLaVA-Rad's page, which the published code asks for by this name."""

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
# The same for blocks of DINOv2, which scale what they add.
DINO_BLOCK = {
    "norm1": "norm1",
    "attn.query": "attention.attention.query",
    "attn.key": "attention.attention.key",
    "attn.value": "attention.attention.value",
    "attn.proj": "attention.output.dense",
    "norm2": "norm2",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}
DINO_SCALE = {"ls1.gamma": "layer_scale1.lambda1", "ls2.gamma": "layer_scale2.lambda1"}
DINO_SIDE = 518


def is_open_clip(tower: Path) -> bool:
    """Whether a tower's folder is laid out as open_clip publishes, or is its configuration."""
    if tower.is_file():
        return True
    return (tower / CONFIG).is_file() and not (tower / "config.json").is_file()


def weights_of(tower: Path, named: str | None = None) -> Path:
    """The file of a tower's weights.

    Args:
        named: what the checkpoint calls it, where `tower` is the file of a configuration.
    """
    if tower.is_dir():
        return tower / WEIGHTS
    return tower.parent / (named or f"{tower.stem}_checkpoint.pt")


def encoder_settings(tower: Path) -> PretrainedConfig:
    """The encoder's configuration.

    Raises:
        InputError: a tower that is no plain vision transformer of timm.
    """
    from transformers import Dinov2Config, ViTConfig

    vision = _vision(tower)
    name = str(vision.get("timm_model_name"))
    form = re.fullmatch(r"vit_(tiny|small|base|large)_patch(\d+)_(\d+|dinov2)(\..+)?", name)
    if form is None:
        raise InputError(f"{_config(tower)}: {name!r} is not a vision transformer that is known")
    width, layers, heads = SIZES[form[1]]
    dino = form[3] == "dinov2"
    shape: dict[str, Any] = {
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "patch_size": int(form[2]),
        "image_size": _side(tower, vision.get("image_size", DINO_SIDE if dino else int(form[3]))),
        "layer_norm_eps": 1e-6,
    }
    return Dinov2Config(**shape) if dino else ViTConfig(**shape, intermediate_size=4 * width)


def preprocessing(tower: Path) -> dict[str, Any]:
    """The preprocessing, in the form of a `preprocessor_config.json`.

    Raises:
        InputError: an interpolation or a way of resizing that is not known.
    """
    # A configuration of the model alone leaves all of it to open_clip's defaults.
    raw = {} if tower.is_file() else _section(tower, "preprocess_cfg")
    vision = _vision(tower)
    side = _side(tower, raw.get("size") or vision.get("image_size", 224))
    interpolation, mode = raw.get("interpolation", "bicubic"), raw.get("resize_mode", "shortest")
    if interpolation not in INTERPOLATIONS or mode not in ("shortest", "squash"):
        raise InputError(f"{_config(tower)}: resizing by {interpolation!r}, {mode!r} is not known")
    both = {"height": side, "width": side}
    return {
        "size": {"shortest_edge": side} if mode == "shortest" else both,
        "do_center_crop": mode == "shortest",
        "crop_size": both,
        # torchvision cuts the centre out between rounded edges, transformers between floored ones.
        "crop_edge": "rounded",
        "resample": INTERPOLATIONS[interpolation],
        # open_clip's defaults are OpenAI's CLIP constants.
        "image_mean": raw.get("mean", [0.48145466, 0.4578275, 0.40821073]),
        "image_std": raw.get("std", [0.26862954, 0.26130258, 0.27577711]),
    }


def published_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The image half of an open_clip checkpoint under the names of published checkpoints of
    transformers: those of DINOv2 where its blocks are scaled, else those of ViT.

    The half is found by its first block, whatever wraps it (`visual.trunk.`, `trunk.`, `vit.`).
    """
    prefix = next((name.removesuffix(FIRST) for name in state if name.endswith(FIRST)), None)
    if prefix is None:
        return state
    dino = f"{prefix}blocks.0.ls1.gamma" in state
    renamed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        # Projections to the space shared with texts, and the text half, are not looked at.
        if not name.startswith(prefix) or name.startswith(f"{prefix}head."):
            continue
        inner = name.removeprefix(prefix)
        block = re.fullmatch(r"blocks\.(\d+)\.(.+)\.(weight|bias)", inner)
        scale = re.fullmatch(r"blocks\.(\d+)\.(ls[12]\.gamma)", inner)
        if scale is not None:
            renamed[f"encoder.layer.{scale[1]}.{DINO_SCALE[scale[2]]}"] = tensor
        elif block is None:
            renamed[OUTSIDE.get(inner, inner)] = tensor
        elif block[2] == "attn.qkv":
            for part, piece in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                renamed[_block_name(block[1], f"attn.{part}", block[3], dino)] = piece
        else:
            renamed[_block_name(block[1], block[2], block[3], dino)] = tensor
    if dino and "cls_token" in {name.removeprefix(prefix) for name in state}:
        # Stands for masked patches in DINOv2's training; timm does not keep it, nothing reads it.
        token = renamed["embeddings.cls_token"]
        renamed["embeddings.mask_token"] = token.new_zeros(1, token.shape[-1])
    return renamed


def _block_name(number: str, module: str, kind: str, dino: bool) -> str:
    names = DINO_BLOCK if dino else BLOCK
    return f"encoder.layer.{number}.{names.get(module, module)}.{kind}"


def _config(tower: Path) -> Path:
    return tower if tower.is_file() else tower / CONFIG


def _vision(tower: Path) -> dict[str, Any]:
    """The image half's settings."""
    model = _table(read_json(_config(tower)))
    vision = _table(model.get("model_cfg") or (model if tower.is_file() else {}))
    if not isinstance(vision.get("vision_cfg"), dict):
        raise InputError(f"{_config(tower)}: no vision_cfg in it")
    return _table(vision["vision_cfg"])


def _section(tower: Path, name: str) -> dict[str, Any]:
    section = _table(read_json(_config(tower))).get(name)
    if not isinstance(section, dict):
        raise InputError(f"{_config(tower)}: no {name} in it")
    return section


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _side(tower: Path, value: Any) -> int:
    """The side of a square image, given as one number or two."""
    try:
        return int(value[0] if isinstance(value, list | tuple) else value)
    except (IndexError, TypeError, ValueError):
        raise InputError(f"{_config(tower)}: {value!r} is no size of an image") from None
