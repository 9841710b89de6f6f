"""LoRA adapters, merged into their base (Hu et al., 2021); PEFT's files, without PEFT."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from torch import Tensor

from libra_bench.core.errors import InputError
from libra_bench.core.files import listing, read_json

PREFIX = "base_model.model."
UNSUPPORTED = ("use_dora", "corda_config", "eva_config", "alora_invocation_tokens")


def merge_adapter(state: dict[str, Tensor], adapter: dict[str, Tensor], folder: Path) -> None:
    """Add an adapter's low-rank updates to the weights in `state`, in place.

    W' = W + (alpha / r) · B A, or alpha / sqrt(r) for rank-stabilised LoRA.

    Args:
        adapter: the tensors of `adapter_model.safetensors`, [r, in] as A and [out, r] as B.
        folder: holds `adapter_config.json`.

    Raises:
        InputError: a kind of adapter that cannot be merged so, or one for another base.
    """
    config = read_json(folder / "adapter_config.json")
    used = [name for name in UNSUPPORTED if config.get(name)]
    if config.get("peft_type") != "LORA" or used or config.get("bias", "none") != "none":
        raise InputError(
            f"{folder}: only plain LoRA is merged, not {', '.join(used) or 'this one'}"
        )
    remaining = {name.removeprefix(PREFIX): tensor for name, tensor in adapter.items()}
    faults = []
    for name in [name for name in remaining if name.endswith(".lora_A.weight")]:
        module = name.removesuffix(".lora_A.weight")
        down = remaining.pop(name)
        up = remaining.pop(f"{module}.lora_B.weight", None)
        weight = state.get(f"{module}.weight")
        if up is None or weight is None or (up.shape[0], down.shape[1]) != tuple(weight.shape):
            faults.append(f"{module} does not fit the base")
            continue
        update = (up.float() @ down.float()) * _scale(config, module, down.shape[0])
        state[f"{module}.weight"] = (weight.float() + update).to(weight.dtype)
    faults += [f"{name} is not understood" for name in remaining]
    if faults:
        raise InputError(f"{folder}: " + listing(faults))


def _scale(config: dict[str, Any], module: str, rank: int) -> float:
    alpha = config["lora_alpha"]
    for pattern, own in (config.get("alpha_pattern") or {}).items():
        if re.fullmatch(rf"(.*\.)?({pattern})", module):
            alpha = own
    return float(alpha / math.sqrt(rank)) if config.get("use_rslora") else float(alpha / rank)
