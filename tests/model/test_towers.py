"""Vision towers beside RAD-DINO: CLIP, SigLIP, BiomedCLIP in open_clip's layout, MAIRA-2's norm."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from libra_bench.core.errors import InputError
from libra_bench.model import open_clip, zoo
from libra_bench.model.libra import LibraModel
from libra_bench.model.loading import load_model
from libra_bench.model.processor import ImageProcessor

TINY = Path(zoo.__file__).parent / "libra_tiny"
WIDTH, HEADS, SIDE, PATCH = 192, 3, 32, 16
PREPROCESSING = {"size": {"shortest_edge": SIDE}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}


def checkpoint(folder: Path, tower: dict[str, Any], **fields: object) -> Path:
    """A checkpoint of libra-tiny's language model over another tower, which lies beside it."""
    shutil.copytree(TINY, folder / "model", ignore=shutil.ignore_patterns("vision_tower"))
    path = folder / "model" / "config.json"
    own = {"mm_vision_tower": "somebody/tower", **fields}
    path.write_text(json.dumps({**json.loads(path.read_text()), **own}))
    for name, content in tower.items():
        (folder / "tower").mkdir(exist_ok=True)
        (folder / "tower" / name).write_text(json.dumps(content))
    return folder / "model"


def vision(kind: str, **fields: object) -> dict[str, Any]:
    shape = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2}
    config = {"model_type": kind, "image_size": SIDE, "patch_size": PATCH, **shape, **fields}
    return {"config.json": config, "preprocessor_config.json": PREPROCESSING}


def tower_of(folder: Path) -> LibraModel:
    return load_model(folder, random_weights=True, device="cpu").model


@pytest.mark.parametrize(
    ("kind", "feature", "positions"),
    [
        ("clip_vision_model", "patch", 4),
        ("clip_vision_model", "cls_patch", 5),
        # SigLIP has no class token: the published code drops its first patch all the same.
        ("siglip_vision_model", "patch", 3),
        ("siglip_vision_model", "cls_patch", 4),
    ],
)
def test_positions_of_an_image(tmp_path: Path, kind: str, feature: str, positions: int) -> None:
    fields = {"mm_hidden_size": 32, "mm_vision_select_feature": feature}
    model = tower_of(checkpoint(tmp_path, vision(kind, intermediate_size=64), **fields))
    features = model.encode(torch.zeros(2, 3, SIDE, SIDE))
    assert features.shape == (2, 4, positions, 32)
    assert model.vision_tower.positions == positions
    assert model.connect(features, None).shape == (2, positions, 128)


def test_maira_reads_the_normalised_last_state(tmp_path: Path) -> None:
    fields = {"mm_hidden_size": 32, "mm_vision_select_layer": -1, "mm_projector_type": "mlp4x_gelu"}
    folder = checkpoint(tmp_path, vision("dinov2", mlp_ratio=2), **fields)
    pixels = torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    model = tower_of(folder)
    plain = model.encode(pixels)
    model.vision_tower.maira_feature_norm = True
    encoder = model.vision_tower.encoder
    torch.testing.assert_close(model.encode(pixels), encoder.layernorm(plain))
    assert len([one for one in model.connector.modules() if hasattr(one, "in_features")]) == 4


def open_clip_tower(folder: Path, prefix: str) -> dict[str, Tensor]:
    """BiomedCLIP's layout in small, with a text half and the heads that are not read."""
    draw = torch.Generator().manual_seed(0)

    def weight(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw) * 0.05

    state = {
        "cls_token": weight(1, 1, WIDTH),
        "pos_embed": weight(1, 5, WIDTH),
        "patch_embed.proj.weight": weight(WIDTH, 3, PATCH, PATCH),
        "patch_embed.proj.bias": weight(WIDTH),
        "norm.weight": weight(WIDTH),
        "norm.bias": weight(WIDTH),
    }
    for number in range(12):
        for name, shape in {
            "norm1": (WIDTH,),
            "attn.qkv": (3 * WIDTH, WIDTH),
            "attn.proj": (WIDTH, WIDTH),
            "norm2": (WIDTH,),
            "mlp.fc1": (4 * WIDTH, WIDTH),
            "mlp.fc2": (WIDTH, 4 * WIDTH),
        }.items():
            state[f"blocks.{number}.{name}.weight"] = weight(*shape)
            state[f"blocks.{number}.{name}.bias"] = weight(shape[0])
    # Inside a Libra checkpoint the tower comes alone, under its plain names.
    others = (
        {}
        if not prefix
        else {"visual.head.proj.weight": weight(8, WIDTH), "text.proj.0.weight": weight(8, 8)}
    )
    whole = {f"{prefix}{name}": one for name, one in state.items()}
    folder.mkdir()
    torch.save(whole | others if prefix else whole, folder / open_clip.WEIGHTS)
    settings = {
        "model_cfg": {
            "vision_cfg": {"timm_model_name": "vit_tiny_patch16_224", "image_size": SIDE}
        },
        "preprocess_cfg": {"mean": [0.25, 0.5, 0.75], "std": [0.5, 0.5, 0.5]},
    }
    (folder / open_clip.CONFIG).write_text(json.dumps(settings))
    return state


def timm_states(state: dict[str, Tensor], pixels: Tensor) -> list[Tensor]:
    """The states of timm's VisionTransformer, written out: pre-norm blocks, fused qkv, GELU."""

    def linear(name: str, values: Tensor) -> Tensor:
        return functional.linear(values, state[f"{name}.weight"], state[f"{name}.bias"])

    def norm(name: str, values: Tensor) -> Tensor:
        scale, shift = state[f"{name}.weight"], state[f"{name}.bias"]
        return functional.layer_norm(values, (WIDTH,), scale, shift, eps=1e-6)

    patches = functional.conv2d(
        pixels,
        state["patch_embed.proj.weight"],
        state["patch_embed.proj.bias"],
        stride=PATCH,
    )
    patches = patches.flatten(2).transpose(1, 2)
    classes = state["cls_token"].expand(len(pixels), -1, -1)
    hidden = torch.cat([classes, patches], dim=1) + state["pos_embed"]
    states = [hidden]
    for number in range(12):
        block = f"blocks.{number}"
        fused = linear(f"{block}.attn.qkv", norm(f"{block}.norm1", hidden))
        query, key, value = fused.unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        scores = query @ key.transpose(-1, -2) / (WIDTH // HEADS) ** 0.5
        attended = (scores.softmax(-1) @ value).transpose(1, 2).flatten(2)
        hidden = hidden + linear(f"{block}.attn.proj", attended)
        inner = functional.gelu(linear(f"{block}.mlp.fc1", norm(f"{block}.norm2", hidden)))
        hidden = hidden + linear(f"{block}.mlp.fc2", inner)
        states.append(hidden)
    return states


@pytest.mark.parametrize("prefix", ["visual.trunk.", "trunk.", ""])
@pytest.mark.parametrize("layer", [-2, "all"])
def test_biomedclip_is_read_without_open_clip(
    tmp_path: Path, prefix: str, layer: int | str
) -> None:
    state = open_clip_tower(tmp_path / "tower", prefix)
    assert open_clip.is_open_clip(tmp_path / "tower")
    folder = checkpoint(tmp_path, {}, mm_hidden_size=WIDTH, mm_vision_select_layer=layer)
    # The encoder alone: the checkpoint's connector is of another width.
    from libra_bench.model.assembly import _encoder
    from libra_bench.model.configuration import read_config
    from libra_bench.model.tower import VisionTower

    tower = VisionTower(_encoder(tmp_path / "tower", {}), read_config(folder))
    pixels = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    states = timm_states(state, pixels)
    expected = states[1:] if layer == "all" else [states[-2]]
    with torch.inference_mode():
        features = tower(pixels)
    torch.testing.assert_close(features, torch.stack(expected, 1)[:, :, 1:], atol=1e-5, rtol=1e-5)
    assert features.shape[2] == tower.positions == 4


def test_biomedclip_preprocessing_and_what_is_not_known(tmp_path: Path) -> None:
    open_clip_tower(tmp_path / "tower", "visual.trunk.")
    processor = ImageProcessor.read(tmp_path / "tower")
    assert (processor.size, processor.crop, int(processor.resample)) == (SIDE, (SIDE, SIDE), 3)
    assert processor.mean == (0.25, 0.5, 0.75)
    path = tmp_path / "tower" / open_clip.CONFIG
    path.write_text(path.read_text().replace("vit_tiny_patch16_224", "convnext_base"))
    with pytest.raises(InputError, match="'convnext_base' is not a vision transformer"):
        open_clip.encoder_settings(tmp_path / "tower")
