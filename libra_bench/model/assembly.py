"""From a checkpoint's tensors to a model: every key must find its place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from libra_bench.core.errors import InputError
from libra_bench.core.files import listing
from libra_bench.model import open_clip
from libra_bench.model.configuration import LibraConfig
from libra_bench.model.libra import LibraModel
from libra_bench.model.weights import read_folder, read_weights

if TYPE_CHECKING:
    from transformers import PretrainedConfig

CONNECTOR, TOWER = "model.mm_projector.", "model.vision_tower.vision_tower."
# Older releases of transformers saved these tables, which are computed, not learned.
COMPUTED = ("rotary_emb.inv_freq", "embeddings.position_ids")
# A whole CLIP or SigLIP checkpoint brings its text half along, a ViT its pooler.
UNREAD = ("text_model.", "logit_", "text_projection", "visual_projection", "pooler.")


def assemble(
    config: LibraConfig, state: dict[str, Tensor], tower: Path, folder: Path
) -> LibraModel:
    """The model with its weights.

    Args:
        state: all tensors by their published names; taken apart on the way.
        tower: the vision tower's folder; its weights are read unless `state` holds them.
        folder: the checkpoint, for messages.

    Raises:
        InputError: keys that are missing, left over or of another shape; all are listed.
    """
    inside, connector = _take(state, TOWER), _take(state, CONNECTOR)
    language = _language_model(config, state, folder)
    model = LibraModel(config, _encoder(tower, inside), language)
    _load_strictly(model.connector, connector, f"{folder}: the connector")
    return model


def with_fresh_connector(
    config: LibraConfig, state: dict[str, Tensor], tower: Path, folder: Path
) -> LibraModel:
    """A language model and a tower with a connector that has learned nothing yet.

    Its weights follow torch's own stream of random numbers: the caller sets the seed.

    Args:
        state: the language model's tensors.

    Raises:
        InputError: keys that are missing, left over or of another shape; all are listed.
    """
    return LibraModel(config, _encoder(tower, {}), _language_model(config, state, folder))


def tower_width(tower: Path) -> int:
    """Width of the features of the tower in a folder."""
    return int(_encoder_settings(tower).hidden_size)


def with_random_weights(
    config: LibraConfig, tower: Path, device: torch.device, dtype: torch.dtype
) -> LibraModel:
    """A model of the configured shape; the same weights on every machine of one kind."""
    from transformers import AutoModel, AutoModelForCausalLM

    settings = _encoder_settings(tower)
    # The caller's own stream of random numbers goes on as if nothing had been drawn.
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), device:
        torch.manual_seed(0)
        encoder = AutoModel.from_config(settings, dtype=dtype, **_extra(settings))
        language = AutoModelForCausalLM.from_config(config.language, dtype=dtype)
        return LibraModel(config, encoder, language)


def _take(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    names = [name for name in state if name.startswith(prefix)]
    return {name.removeprefix(prefix): state.pop(name) for name in names}


def _language_model(config: LibraConfig, state: dict[str, Tensor], folder: Path) -> nn.Module:
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    return _with_weights(
        MODEL_FOR_CAUSAL_LM_MAPPING[type(config.language)],
        config.language,
        state,
        f"{folder}: the language model",
    )


def _encoder(tower: Path, inside: dict[str, Tensor]) -> nn.Module:
    from transformers import MODEL_MAPPING

    settings = _encoder_settings(tower)
    if open_clip.is_open_clip(tower):
        state = open_clip.published_names(inside or read_weights(tower / open_clip.WEIGHTS))
    else:
        state = inside or read_folder(tower)
    return _with_weights(
        MODEL_MAPPING[type(settings)], settings, state, f"{tower}: the vision tower", UNREAD
    )


def _encoder_settings(tower: Path) -> PretrainedConfig:
    from transformers import AutoConfig

    if open_clip.is_open_clip(tower):
        return open_clip.encoder_settings(tower)
    settings = AutoConfig.from_pretrained(tower, local_files_only=True)
    # A multimodal checkpoint (CLIP, SigLIP) holds its vision half under `vision_config`.
    return getattr(settings, "vision_config", settings)


def _extra(settings: PretrainedConfig) -> dict[str, Any]:
    """How to build an encoder without what is never read: ViT's pooler."""
    return {"add_pooling_layer": False} if settings.model_type == "vit" else {}


def _with_weights(
    kind: Any,
    settings: PretrainedConfig,
    state: dict[str, Tensor],
    label: str,
    tolerated: tuple[str, ...] = (),
) -> nn.Module:
    """A model of transformers filled with `state`, in the type of its tensors.

    `from_pretrained` renames keys of older releases and leaves nothing uninitialised unsaid.
    """
    first = next((one for one in state.values() if one.is_floating_point()), None)
    if first is None:
        raise InputError(f"{label} has no weights among the files")
    learned = {name: one for name, one in state.items() if not name.endswith(COMPUTED)}
    model: nn.Module
    report: dict[str, Any]
    try:
        with quietly():
            model, report = kind.from_pretrained(
                None,
                config=settings,
                state_dict=learned,
                dtype=first.dtype,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                **_extra(settings),
            )
    except RuntimeError as error:
        raise InputError(f"{label} does not fit its configuration ({error})") from None
    unexpected = [key for key in report["unexpected_keys"] if not key.startswith(tolerated)]
    wrong = [
        f"{name}: {tuple(there)} in the file, {tuple(here)} expected"
        for name, there, here in sorted(report["mismatched_keys"], key=lambda one: one[0])
    ]
    _refuse_gaps(label, report["missing_keys"], unexpected, wrong)
    return model


@contextmanager
def quietly() -> Iterator[None]:
    """Keep transformers' own progress bars and load reports out of ours."""
    from transformers.utils import logging

    shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _load_strictly(module: nn.Module, state: dict[str, Tensor], label: str) -> None:
    own = module.state_dict()
    wrong = [
        f"{name}: {tuple(state[name].shape)} in the file, {tuple(own[name].shape)} expected"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    _refuse_gaps(label, set(own) - set(state), set(state) - set(own), wrong)
    module.load_state_dict(state)


def _refuse_gaps(
    label: str, missing: Iterable[str], unexpected: Iterable[str], wrong: list[str]
) -> None:
    """Raise InputError where keys are missing, left over or of another shape; all are listed."""
    faults = [f"missing: {name}" for name in sorted(missing)]
    faults += [f"unexpected: {name}" for name in sorted(unexpected)]
    faults += [f"wrong shape: {name}" for name in wrong]
    if faults:
        raise InputError(f"{label} does not fit its weights: " + listing(faults))
