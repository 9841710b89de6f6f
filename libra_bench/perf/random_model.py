"""Models of a given shape with random weights, and studies and samples for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from libra_bench.core.errors import InputError
from libra_bench.generation.study import Study
from libra_bench.model.configuration import IMAGE_TOKEN, parse_config
from libra_bench.model.libra import IGNORED, LibraModel
from libra_bench.perf.shape import ModelShape

HEAD_SPREAD = 30.0
FIRST_TOKEN = 3
"""Ids below are special."""


def build(
    shape: ModelShape, *, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> LibraModel:
    """The model, its weights drawn from a fixed seed on the device itself.

    Raises:
        InputError: a shape that is not Libra's: another connector, or a tower without class token.
    """
    from transformers import AutoModelForCausalLM, Dinov2Config, Dinov2Model

    if (shape.connector, shape.class_tokens, shape.skipped) != ("TAC", 1, 1):
        raise InputError("only shapes with TAC and a DINOv2 tower are built; name a --model")
    raw: dict[str, Any] = {
        "model_type": "libra",
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.key_value_heads,
        "head_dim": shape.head_width,
        "tie_word_embeddings": shape.tied_head,
        "max_position_embeddings": 4096,
        "mm_hidden_size": shape.tower_width,
        "mm_projector_type": shape.connector,
        "mm_vision_select_layer": "all",
        "mm_vision_tower": "random",
        "image_aspect_ratio": "pad",
    }
    config = parse_config(raw, "benchmark")
    tower = Dinov2Config(
        hidden_size=shape.tower_width,
        num_hidden_layers=shape.tower_layers,
        num_attention_heads=shape.tower_heads,
        mlp_ratio=shape.tower_mlp // shape.tower_width,
        image_size=shape.image,
        patch_size=shape.patch,
    )
    with (
        torch.random.fork_rng(devices=[device] if device.startswith("cuda") else []),
        _default_dtype(dtype),
        torch.device(device),
    ):
        torch.manual_seed(0)
        language = AutoModelForCausalLM.from_config(config.language)
        model = LibraModel(config, Dinov2Model(tower), language)
    # A fresh head gives nearly equal scores to all tokens, and rounding alone would decide between
    # beams. Spread as a trained one's are, the engines can be held to equal ids.
    with torch.no_grad():
        model.language_model.lm_head.weight.mul_(HEAD_SPREAD)
    return model.to(dtype).eval()


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def studies(shape: ModelShape, count: int, prompt: int = 96) -> list[Study]:
    """Random images and prompts of `prompt` ids; every second study has a prior."""
    draw = torch.Generator().manual_seed(1)
    made = []
    for number in range(count):
        ids = _ids(shape, prompt, draw)
        ids[prompt // 2] = IMAGE_TOKEN
        images = torch.randn(2, 3, shape.image, shape.image, generator=draw)
        made.append(Study(str(number), ids, images[0], images[1] if number % 2 else None))
    return made


@dataclass
class Batch:
    """Samples for one training step, in the form of `LibraModel.forward`."""

    input_ids: list[Tensor]
    labels: list[Tensor]
    current: Tensor
    prior: Tensor | None

    def split(self, size: int) -> Iterator[Batch]:
        """Micro-batches of `size` samples."""
        for start in range(0, len(self.input_ids), size):
            part = slice(start, start + size)
            prior = None if self.prior is None else self.prior[part]
            yield Batch(self.input_ids[part], self.labels[part], self.current[part], prior)


def batch(shape: ModelShape, count: int, prompt: int = 96, answer: int = 128) -> Batch:
    """Random samples; each has a prior, as upstream encodes two images in any case."""
    draw = torch.Generator().manual_seed(2)
    ids, labels = [], []
    for _ in range(count):
        row = _ids(shape, prompt + answer, draw)
        row[prompt // 2] = IMAGE_TOKEN
        wanted = row.clone()
        wanted[:prompt] = IGNORED
        ids.append(row)
        labels.append(wanted)
    images = torch.randn(2, count, 3, shape.image, shape.image, generator=draw)
    return Batch(ids, labels, images[0], images[1])


def _ids(shape: ModelShape, length: int, draw: torch.Generator) -> Tensor:
    return torch.randint(FIRST_TOKEN, shape.vocabulary, (length,), generator=draw)
