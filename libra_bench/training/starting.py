"""The model that training starts from: a checkpoint, or a plain language model and a tower."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from libra_bench.core.errors import InputError
from libra_bench.core.files import read_json
from libra_bench.hub import lookup
from libra_bench.model import zoo
from libra_bench.model.assembly import tower_width, with_fresh_connector
from libra_bench.model.configuration import LANGUAGE_MODELS, parse_config
from libra_bench.model.conversation import conversation
from libra_bench.model.ends import end_tokens
from libra_bench.model.loading import DEFAULT_CONVERSATION, LoadedModel, find_parts, load_model
from libra_bench.model.parts import part_hashes
from libra_bench.model.processor import ImageProcessor
from libra_bench.model.tokenizer import load_tokenizer
from libra_bench.model.vocabulary import fit_vocabulary
from libra_bench.model.weights import fingerprint, read_folder, weight_files
from libra_bench.training.checkpoints import Origin

RAD_DINO = "microsoft/rad-dino"


def start(
    model: str,
    *,
    model_base: Path | None = None,
    vision_tower: Path | None = None,
    connector: str = "TAC",
    conv_mode: str | None = None,
    seed: int = 42,
) -> tuple[LoadedModel, Origin]:
    """A model to train, in float32 on the CPU.

    Args:
        model: a Libra-like checkpoint by name or folder; or the folder of a plain language model,
            which gets a fresh connector.
        model_base: the checkpoint under a connector.
        vision_tower: the tower's folder; for a plain language model RAD-DINO if None.
        connector: of a plain language model: `TAC`, `linear`, `mlpNx_gelu`.
        seed: of a fresh connector.

    Raises:
        InputError: files that are broken, missing or do not belong together.
    """
    plain = _plain_language_model(Path(model))
    if plain is not None:
        return _from_parts(Path(model), plain, vision_tower, connector, conv_mode, seed)
    folder, tower = find_parts(model, model_base, vision_tower)
    if (folder / "adapter_config.json").is_file():
        # What is learned over a merged adapter would belong to neither folder.
        raise InputError(
            f"{folder}: an adapter; `libra-bench merge` makes a whole model of it first"
        )
    loaded = load_model(
        model,
        model_base=model_base,
        vision_tower=vision_tower,
        conv_mode=conv_mode,
        device="cpu",
        dtype="float32",
        training=True,
    )
    raw = dict(read_json(folder / "config.json"))
    return loaded, Origin(raw, str(model_base or folder), model_base or folder, tower)


def _plain_language_model(folder: Path) -> dict[str, Any] | None:
    """The configuration of a language model without an image side; None for anything else."""
    path = folder / "config.json"
    if not path.is_file():
        return None
    raw = dict(read_json(path))
    known = raw.get("model_type") in LANGUAGE_MODELS.values()
    return raw if known and "mm_vision_tower" not in raw else None


def _from_parts(
    folder: Path,
    raw: dict[str, Any],
    tower: Path | None,
    connector: str,
    conv_mode: str | None,
    seed: int,
) -> tuple[LoadedModel, Origin]:
    place = tower or lookup.folder(RAD_DINO)
    if place is None:
        other = "name a tower's folder by --vision-tower"
        raise zoo.not_here(f"the vision tower {RAD_DINO}", RAD_DINO, otherwise=other)
    if not (place / "config.json").is_file():
        raise InputError(f"--vision-tower {place}: no config.json in it")
    kind = raw["model_type"]
    raw |= {
        "model_type": "libra" if kind == "llama" else f"libra_{kind}",
        "image_aspect_ratio": "pad",
        "mm_hidden_size": tower_width(place),
        "mm_projector_type": connector,
        "mm_use_im_patch_token": False,
        "mm_use_im_start_end": False,
        "mm_vision_select_feature": "patch",
        # TAC reads every layer, the others the one before the last, as published.
        "mm_vision_select_layer": "all" if connector == "TAC" else -2,
        "mm_vision_tower": str(tower.resolve()) if tower else RAD_DINO,
    }
    config = parse_config(raw, str(folder / "config.json"))
    torch.manual_seed(seed)
    model = with_fresh_connector(config, read_folder(folder), place, folder).float()
    tokenizer = load_tokenizer(folder, config.model_type, training=True)
    fit_vocabulary(model, tokenizer, 0, folder, cut=False)
    chosen = conversation(DEFAULT_CONVERSATION if conv_mode is None else conv_mode)
    loaded = LoadedModel(
        model=model,
        tokenizer=tokenizer,
        processor=ImageProcessor.read(place),
        conversation=chosen,
        model_id=folder.resolve().name,
        trained=False,
        weights_sha256=fingerprint(weight_files(folder)),
        eos_token_ids=end_tokens(model.language_model, tokenizer, chosen, folder),
        parts=part_hashes(folder, None, place),
    )
    return loaded, Origin(raw, str(folder), folder, place)
