"""How many studies fit side by side."""

from __future__ import annotations

import torch

from libra_bench.core.errors import InputError
from libra_bench.generation.protocols import Decoding
from libra_bench.model.libra import LibraModel

ON_A_CPU = 8
MOST = 64
SHARE = 0.8
"""Of the free memory: the rest is for activations and fragmentation."""
TYPICAL_PROMPT = 256
"""Tokens of a question with its clinical context."""
SHARED = 32
"""Tokens by which beams differ, about; what they share is stored once."""


def side_by_side(asked: str, model: LibraModel, decoding: Decoding, patches: int) -> int:
    """The number of studies that decode together.

    Args:
        asked: a number, or `auto`: what the device's free memory holds of keys and values (a
            prompt a study, and a tree of its answers), at most `MOST`; `ON_A_CPU` on a CPU,
            where more gains nothing.
        patches: image vectors of a study.

    Raises:
        InputError: neither a positive number nor `auto`.
    """
    if asked != "auto":
        return _fixed(asked)
    if model.device.type != "cuda":
        return ON_A_CPU
    free, _ = torch.cuda.mem_get_info(model.device)
    return max(1, min(MOST, int(free * SHARE / bytes_per_study(model, decoding, patches))))


def check(asked: str) -> None:
    """Refuse what is no batch size.

    Raises:
        InputError: neither a positive number nor `auto`.
    """
    if asked != "auto":
        _fixed(asked)


def _fixed(asked: str) -> int:
    if not (asked.isascii() and asked.isdigit() and int(asked) >= 1):
        raise InputError(f"--batch-size {asked}: a positive number or `auto` was expected")
    return int(asked)


def bytes_per_study(model: LibraModel, decoding: Decoding, patches: int) -> int:
    """Keys and values of one study at its longest, in bytes; an estimate."""
    config = model.config.language
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    # Half as many slots again as tokens in use: see `Places`.
    tree = 1.5 * (decoding.max_new_tokens + decoding.num_beams * SHARED)
    tokens = patches + TYPICAL_PROMPT + tree
    return int(2 * config.num_hidden_layers * heads * width * tokens * model.dtype.itemsize)
