"""LoRA adapters, merged into their base by PEFT (Hu et al., 2021)."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from libra_bench.core.errors import InputError, MissingResourceError
from libra_bench.core.files import listing, read_json
from libra_bench.model.weights import one_line, read_weights

PREFIX = "base_model.model."
WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
CONFIG = "adapter_config.json"


def adapter_file(folder: Path) -> Path | None:
    """The file with an adapter's tensors in a folder, if there is one."""
    return next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)


def merge_adapter(language_model: Any, folder: Path) -> None:
    """Add an adapter's updates to the weights of a language model, in place.

    PEFT does it: how an adapter was begun (`init_lora_weights`: PiSSA, OLoRA, LoftQ …) changes the
    base as well, and which of `alpha_pattern` and `rank_pattern` goes first is its own rule.

    Args:
        folder: holds `adapter_config.json` and the adapter's tensors.

    Raises:
        MissingResourceError: PEFT is not installed.
        InputError: an adapter that is broken, not LoRA, or for another base.
    """
    try:
        from peft import LoraConfig, PeftModel, get_peft_model_state_dict
    except ImportError:
        raise MissingResourceError(
            f"{folder} is an adapter, and merging one needs peft, which is not installed",
            "pip install 'libra-bench[train]'",
        ) from None
    path = adapter_file(folder)
    assert path is not None
    saved = _read(folder, path)
    try:
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            # What is missing or left over is listed below.
            warnings.simplefilter("ignore")
            torch.manual_seed(0)  # PiSSA's fast form draws numbers.
            config = LoraConfig.from_pretrained(str(folder))
            wrapped = PeftModel.from_pretrained(
                language_model, str(folder), config=config, torch_device="cpu"
            )
            # Embeddings are not asked for: PEFT would look for the base's page on the network.
            own = get_peft_model_state_dict(wrapped, save_embedding_layers=False)
            whole = wrapped.state_dict()
            own |= {name: whole[name] for name in saved if name in whole}
            _refuse_gaps(saved, own, folder)
            merged = wrapped.merge_and_unload(safe_merge=True)
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001  # PEFT and torch raise whatever a damaged file causes
        raise InputError(f"{folder}: its adapter cannot be merged ({one_line(error)})") from None
    assert merged is language_model
    language_model.requires_grad_(True)


def _read(folder: Path, path: Path) -> dict[str, Tensor]:
    """The adapter's tensors, after its configuration was found to be LoRA's."""
    raw = read_json(folder / CONFIG)
    if not isinstance(raw, dict) or raw.get("peft_type") != "LORA":
        kind = raw.get("peft_type") if isinstance(raw, dict) else raw
        raise InputError(f"{folder / CONFIG}: only LoRA is merged, not {kind!r}")
    return read_weights(path)


def _refuse_gaps(saved: dict[str, Tensor], own: dict[str, Tensor], folder: Path) -> None:
    faults = [f"missing: {name}" for name in sorted(set(own) - set(saved))]
    faults += [f"does not fit the base: {name}" for name in sorted(set(saved) - set(own))]
    faults += [
        f"wrong shape: {name}: {tuple(saved[name].shape)} in the file, "
        f"{tuple(own[name].shape)} expected"
        for name in sorted(set(saved) & set(own))
        if saved[name].shape != own[name].shape
    ]
    if faults:
        raise InputError(f"{folder}: the adapter does not fit its base: " + listing(faults))
