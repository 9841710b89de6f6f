"""From a checkpoint's tensors to a model: every key must find its place."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from libra_bench.core.errors import InputError
from libra_bench.core.files import listing, read_json
from libra_bench.model import maira, open_clip
from libra_bench.model.configuration import LibraConfig
from libra_bench.model.libra import LibraModel
from libra_bench.model.places import TOWER_FOLDER
from libra_bench.model.weights import one_line, read_folder, read_weights, weight_files

if TYPE_CHECKING:
    from transformers import PretrainedConfig

CONNECTOR, TOWER = "model.mm_projector.", "model.vision_tower.vision_tower."
# Older releases of transformers saved these tables, which are computed, not learned.
COMPUTED = ("rotary_emb.inv_freq", "embeddings.position_ids")
# A whole CLIP or SigLIP checkpoint brings its text half along, a ViT its pooler.
ENCODER_SIZES = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "image_size",
    "patch_size",
)
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
    if inside and not _reads_inside(config, tower, folder):
        warnings.warn(
            f"{folder} holds weights of a vision tower that the published code does not read "
            f"(its config.json does not set unfreeze_mm_vision_tower); those of {tower} are used",
            stacklevel=2,
        )
        inside = {}
    language = _language_model(config, state, folder)
    model = _put_together(
        config, _encoder(tower, inside, config.tower_checkpoint), language, folder
    )
    _load_strictly(model.connector, connector, f"{folder}: the connector")
    return model


def _reads_inside(config: LibraConfig, tower: Path, folder: Path) -> bool:
    """Whether the tower's weights in a checkpoint are read, or those of the tower's own page.

    The published code reads them where the tower was trained along (`unfreeze_mm_vision_tower`),
    and never where it is one of open_clip's. This package's own checkpoints hold their tower.
    """
    if tower in (folder, folder / TOWER_FOLDER):
        return True
    if tower.is_file():
        return False
    return config.tower_inside or not _has_weights(tower)


def _has_weights(tower: Path) -> bool:
    try:
        return open_clip.is_open_clip(tower) or bool(weight_files(tower))
    except InputError:
        return False


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
    language = _language_model(config, state, folder)
    return _put_together(config, _encoder(tower, {}), language, folder)


def _put_together(
    config: LibraConfig, encoder: nn.Module, language: nn.Module, folder: Path
) -> LibraModel:
    """The parts as one model.

    Raises:
        InputError: parts that do not fit together.
    """
    try:
        return LibraModel(config, encoder, language)
    except InputError as error:
        raise InputError(f"{folder / 'config.json'}: {error}") from None


def tower_width(tower: Path) -> int:
    """Width of the features of the tower in a folder."""
    return int(encoder_settings(tower).hidden_size)


def with_random_weights(
    config: LibraConfig,
    tower: Path,
    device: torch.device,
    dtype: torch.dtype,
    folder: Path = Path(),
) -> LibraModel:
    """A model of the configured shape; the same weights on every machine of one kind."""
    from transformers import AutoModel, AutoModelForCausalLM

    settings = encoder_settings(tower)
    # The caller's own stream of random numbers goes on as if nothing had been drawn.
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), device:
        torch.manual_seed(0)
        encoder = AutoModel.from_config(settings, dtype=dtype, **_extra(settings))
        language = AutoModelForCausalLM.from_config(config.language, dtype=dtype)
        return _put_together(config, encoder, language, folder)


def _take(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    names = [name for name in state if name.startswith(prefix)]
    return {name.removeprefix(prefix): state.pop(name) for name in names}


def _language_model(config: LibraConfig, state: dict[str, Tensor], folder: Path) -> nn.Module:
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    _refuse_other_size(config, state, folder)
    if config.language.tie_word_embeddings and "model.embed_tokens.weight" in state:
        # A head that was saved as well is not read, as in the published code's release; later ones
        # would untie the two where they differ.
        state.pop("lm_head.weight", None)
    return _with_weights(
        MODEL_FOR_CAUSAL_LM_MAPPING[type(config.language)],
        config.language,
        state,
        f"{folder}: the language model",
    )


def _refuse_other_size(config: LibraConfig, state: dict[str, Tensor], folder: Path) -> None:
    """Refuse a configuration of another size than the weights before anything of it is built."""
    faults = []
    table, language = state.get("model.embed_tokens.weight"), config.language
    expected = (language.vocab_size, language.hidden_size)
    if table is not None and tuple(table.shape) != expected:
        faults.append(
            f"model.embed_tokens.weight: {tuple(table.shape)} in the file, {expected} expected"
        )
    numbers = {
        int(found[1]) for name in state if (found := re.match(r"model\.layers\.(\d+)\.", name))
    }
    if numbers and max(numbers) + 1 != language.num_hidden_layers:
        faults.append(
            f"{max(numbers) + 1} layers in the file, {language.num_hidden_layers} expected"
        )
    if faults:
        raise InputError(
            f"{folder}: the language model does not fit its configuration: " + listing(faults)
        )


def _encoder(tower: Path, inside: dict[str, Tensor], weights: str | None = None) -> nn.Module:
    from transformers import MODEL_MAPPING

    settings = encoder_settings(tower)
    if type(settings) not in MODEL_MAPPING:
        raise InputError(f"{tower}: {settings.model_type!r} is not a vision encoder")
    if open_clip.is_open_clip(tower):
        state = inside or read_weights(open_clip.weights_of(tower, weights))
        state = open_clip.published_names(state)
    else:
        state = inside or read_folder(tower)
    return _with_weights(
        MODEL_MAPPING[type(settings)], settings, state, f"{tower}: the vision tower", UNREAD
    )


def encoder_settings(tower: Path) -> PretrainedConfig:
    """The configuration of a tower's encoder; no weights are read.

    Raises:
        InputError: it is not one of a vision encoder.
    """
    from transformers import CONFIG_MAPPING, AutoConfig

    if open_clip.is_open_clip(tower):
        return open_clip.encoder_settings(tower)
    raw = read_json(tower / "config.json")  # Says where the file goes wrong, if it does.
    try:
        if isinstance(raw, dict) and raw.get("model_type") == maira.MODEL_TYPE:
            inside = raw["vision_config"]
            settings: Any = CONFIG_MAPPING[inside["model_type"]].from_dict(inside)
        else:
            settings = AutoConfig.from_pretrained(
                tower, local_files_only=True, trust_remote_code=False
            )
        # A multimodal checkpoint (CLIP, SigLIP) holds its vision half under `vision_config`.
        settings = getattr(settings, "vision_config", settings)
        sizes = [getattr(settings, name) for name in ENCODER_SIZES]
    except Exception as error:  # noqa: BLE001  # transformers checks fields by errors of its own
        raise InputError(
            f"{tower / 'config.json'}: not a vision encoder's configuration ({one_line(error)})"
        ) from None
    for name, size in zip(ENCODER_SIZES, sizes, strict=True):
        if type(size) is not int or size < 1:
            raise InputError(f"{tower / 'config.json'}: {name} is {size!r}, not a positive number")
    return settings


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
                trust_remote_code=False,
                **_extra(settings),
            )
    except Exception as error:  # noqa: BLE001  # a damaged configuration can raise anything here
        raise InputError(f"{label} does not fit its configuration ({one_line(error)})") from None
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
