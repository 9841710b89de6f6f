"""A frozen language model in 8 or 4 bits under its adapters (Dettmers et al., 2022 and 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from libra_bench.core.errors import MissingResourceError

KINDS = ("nf4", "fp4")


@dataclass(frozen=True)
class Quantization:
    """How the linear layers of a frozen language model are kept.

    Attributes:
        bits: 8 (LLM.int8()) or 4 (QLoRA).
        kind: of 4 bits: `nf4` or `fp4`.
        double: whether the scales of 4 bits are quantised as well.
    """

    bits: int
    kind: str = "nf4"
    double: bool = True


def quantize(
    language_model: nn.Module, chosen: Quantization, device: torch.device, compute: torch.dtype
) -> None:
    """Replace every linear layer but the head, in place, and move the model to `device`.

    Only what is quantised already reaches the device. The weights can learn no more.

    Args:
        compute: type that 4-bit layers multiply in.

    Raises:
        MissingResourceError: bitsandbytes is not installed.
    """
    try:
        import bitsandbytes  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise MissingResourceError(
            f"{chosen.bits}-bit training needs bitsandbytes, which is not installed",
            "pip install 'libra-bench[quantized]'",
        ) from None
    head = language_model.get_output_embeddings()  # type: ignore[operator]
    linear = [
        (name, module)
        for name, module in language_model.named_modules()
        if isinstance(module, nn.Linear) and module is not head
    ]
    for name, module in linear:
        parent, _, last = name.rpartition(".")
        fresh = _layer(bitsandbytes.nn, module, chosen, compute)
        setattr(language_model.get_submodule(parent), last, fresh.to(device))
    language_model.to(device)
    # PEFT asks for these before it puts adapters of the fitting kind on such layers.
    language_model.is_loaded_in_8bit = chosen.bits == 8  # type: ignore[assignment]
    language_model.is_loaded_in_4bit = chosen.bits == 4  # type: ignore[assignment]


def _layer(layers: Any, module: nn.Linear, chosen: Quantization, compute: torch.dtype) -> nn.Module:
    """The same layer for bitsandbytes, quantised when it moves to a device."""
    sizes, biased = (module.in_features, module.out_features), module.bias is not None
    weight, fixed = module.weight.data, {"requires_grad": False}
    fresh: nn.Module
    if chosen.bits == 8:
        fresh = layers.Linear8bitLt(*sizes, bias=biased, has_fp16_weights=False)
        fresh.weight = layers.Int8Params(weight, has_fp16_weights=False, **fixed)
    else:
        fresh = layers.Linear4bit(*sizes, bias=biased, compute_dtype=compute)
        fresh.weight = layers.Params4bit(
            weight, quant_type=chosen.kind, compress_statistics=chosen.double, **fixed
        )
    if biased:
        fresh.bias = nn.Parameter(module.bias.data, requires_grad=False)
    return fresh
