"""Models of a given shape with random weights, and studies for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from libra_bench.generation.study import Study
from libra_bench.model.configuration import IMAGE_TOKEN, parse_config
from libra_bench.model.libra import LibraModel

HEAD_SPREAD = 30.0


@dataclass(frozen=True)
class Shape:
    """Sizes that decide the time: tower, language model, prompt."""

    tower_width: int
    tower_heads: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    vocabulary: int
    prompt: int = 96
    image: int = 518


CPU = Shape(192, 3, 512, 1376, 8, 8, 2000)
"""Small enough for two cores, with Libra's own 1,369 image vectors."""
SEVEN_B = Shape(768, 12, 4096, 11008, 32, 32, 32000)
"""RAD-DINO and Llama-2-7B."""
SHAPES = {"cpu": CPU, "7b": SEVEN_B}


def build(shape: Shape, *, device: str = "cpu", dtype: torch.dtype = torch.float32) -> LibraModel:
    """The model, its weights drawn from a fixed seed on the device itself."""
    from transformers import AutoModelForCausalLM, Dinov2Config, Dinov2Model

    raw: dict[str, Any] = {
        "model_type": "libra",
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.heads,
        "max_position_embeddings": 4096,
        "mm_hidden_size": shape.tower_width,
        "mm_projector_type": "TAC",
        "mm_vision_select_layer": "all",
        "mm_vision_tower": "random",
        "image_aspect_ratio": "pad",
    }
    config = parse_config(raw, "benchmark")
    tower = Dinov2Config(
        hidden_size=shape.tower_width,
        num_hidden_layers=12,
        num_attention_heads=shape.tower_heads,
        image_size=shape.image,
        patch_size=14,
    )
    torch.manual_seed(0)
    default = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = LibraModel(
                config, Dinov2Model(tower), AutoModelForCausalLM.from_config(config.language)
            )
    finally:
        torch.set_default_dtype(default)
    # A fresh head gives nearly equal scores to all tokens, and rounding alone would decide between
    # beams. Spread as a trained one's are, the engines can be held to equal ids.
    with torch.no_grad():
        model.language_model.lm_head.weight.mul_(HEAD_SPREAD)
    return model.to(dtype).eval()


def studies(shape: Shape, count: int) -> list[Study]:
    """Random images and prompts; every second study has a prior."""
    draw = torch.Generator().manual_seed(1)
    made = []
    for number in range(count):
        ids = torch.randint(3, shape.vocabulary, (shape.prompt,), generator=draw)
        ids[shape.prompt // 2] = IMAGE_TOKEN
        images = torch.randn(2, 3, shape.image, shape.image, generator=draw)
        made.append(Study(str(number), ids, images[0], images[1] if number % 2 else None))
    return made
