"""A published checkpoint's configuration, taken apart into what each part needs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from libra_bench.core.errors import InputError
from libra_bench.core.files import read_json
from libra_bench.core.names import unknown_name
from libra_bench.model import maira
from libra_bench.model.weights import one_line

if TYPE_CHECKING:
    from transformers import PretrainedConfig

IMAGE_TOKEN = -200
"""Stands in a prompt's ids where the image's vectors go."""

# `model_type` of published checkpoints → the language model's own type in transformers.
LANGUAGE_MODELS = {
    "libra": "llama",
    "libra_llama": "llama",
    "libra_mistral": "mistral",
    "libra_qwen2": "qwen2",
    "libra_qwen3": "qwen3",
    "libra_phi3": "phi3",
    "libra_gemma": "gemma",
    "llava": "llama",
    "llava_llama": "llama",
    "llava_mistral": "mistral",
    # MAIRA-2 in Libra's layout may keep the type of the form that it was made of.
    maira.MODEL_TYPE: "llama",
}

NAMES_OF_FILES = ("mm_vision_tower", "mm_vision_tower_config", "mm_vision_tower_checkpoint")
"""Fields that name a tower or its files; each is text, or not said."""

WHAT_IS_READ = "models are read in the layout of X-iZhang/Libra, and microsoft/maira-2 in its own"


@dataclass(frozen=True)
class LibraConfig:
    """What stands in `config.json`, read once.

    Attributes:
        language: the language model's configuration, as transformers knows it.
        select_layer: `"all"`, or an index into the tower's hidden states (0 is the embedding).
        pad: whether images are padded to a square before they are resized.
        tower_inside: whether the tower's weights in the checkpoint go before those of its own page.
        tower_config, tower_checkpoint: the files of a tower published through open_clip.
        image_token: in MAIRA-2's own form the id that stands for each vector of an image; None in
            Libra's, where one -200 stands for all.
    """

    model_type: str
    language: PretrainedConfig
    projector_type: str
    mm_hidden_size: int
    vision_tower: str
    select_layer: str | int
    select_feature: str
    maira_feature_norm: bool
    use_im_start_end: bool
    use_im_patch_token: bool
    pad: bool
    trained: bool
    tower_inside: bool
    tower_config: str | None
    tower_checkpoint: str | None
    image_token: int | None = None

    @property
    def is_own_form(self) -> bool:
        """Whether this is MAIRA-2's own form: each image has a place, the tower lies inside."""
        return self.image_token is not None

    @property
    def most_images(self) -> int:
        """Images that may stand in a prompt, each with vectors of its own."""
        return 3 if self.is_own_form else 1

    @property
    def context_length(self) -> int:
        """Positions that the language model was made for."""
        length = int(self.language.max_position_embeddings)
        rope = getattr(self.language, "rope_parameters", None) or {}
        # This kind stretches the positions it was first made for, which is what is written down.
        return int(length * rope["factor"]) if rope.get("rope_type") == "linear" else length


def read_config(folder: Path) -> LibraConfig:
    """The configuration in a checkpoint folder.

    Raises:
        InputError: no `config.json`, or one of another kind of model.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise InputError(f"{folder}: not a checkpoint (it has no config.json)")
    return parse_config(read_json(path), str(path))


def parse_config(raw: Any, where: str) -> LibraConfig:
    """A configuration from its JSON object.

    Args:
        where: the file, for messages.

    Raises:
        InputError: a model type that is not known, fields that are missing or of another type.
    """
    if not isinstance(raw, dict):
        raise InputError(f"{where}: a JSON object was expected")
    kind = raw.get("model_type", "")
    if maira.is_own_form(raw):
        if kind != maira.MODEL_TYPE:
            raise InputError(
                f"{where}: {kind!r} in transformers' own layout is not read; {WHAT_IS_READ}"
            )
        try:
            return _parsed(maira.as_libras(raw), kind, maira.image_token(raw))
        except Exception as error:  # noqa: BLE001  # as below
            raise InputError(f"{where}: a field cannot be used ({one_line(error)})") from None
    if not isinstance(kind, str) or kind not in LANGUAGE_MODELS:
        raise InputError(f"{where}: {unknown_name('model type', str(kind), LANGUAGE_MODELS)}")
    wrong = [name for name in NAMES_OF_FILES if not isinstance(raw.get(name), str | None)]
    if wrong:
        raise InputError(f"{where}: {wrong[0]} is {raw[wrong[0]]!r}, a name was expected")
    # The published code takes an empty name for none.
    missing = [
        name for name in ("mm_vision_tower", "mm_hidden_size") if raw.get(name) in (None, "")
    ]
    if missing:
        raise InputError(
            f"{where}: no {' and no '.join(missing)}; not a vision-language checkpoint"
        )
    try:
        return _parsed(raw, kind)
    except Exception as error:  # noqa: BLE001  # transformers checks fields by errors of its own
        raise InputError(f"{where}: a field cannot be used ({one_line(error)})") from None


def _parsed(raw: dict[str, Any], kind: str, image_token: int | None = None) -> LibraConfig:
    from transformers import CONFIG_MAPPING

    own = {key: value for key, value in raw.items() if not _is_foreign(key)}
    notes = raw.get("libra_bench") or {}
    own_form = image_token is not None
    # In MAIRA-2's own form the type that is left is the language model's.
    language = raw.get("model_type", "llama") if own_form else LANGUAGE_MODELS[kind]
    layer = raw.get("mm_vision_select_layer", -2)
    if layer != "all" and not re.fullmatch(r"-?\d+", str(layer)):
        raise ValueError(f"mm_vision_select_layer is {layer!r}: `all` or a number was expected")
    config = LibraConfig(
        model_type="libra" if kind == maira.MODEL_TYPE and not own_form else kind,
        language=_language(CONFIG_MAPPING[language], own),
        projector_type=str(raw.get("mm_projector_type", "linear")),
        mm_hidden_size=int(raw["mm_hidden_size"]),
        vision_tower=str(raw["mm_vision_tower"]),
        select_layer="all" if layer == "all" else int(layer),
        select_feature=str(raw.get("mm_vision_select_feature", "patch")),
        maira_feature_norm=bool(raw.get("use_maira_feature_norm", False)),
        use_im_start_end=bool(raw.get("mm_use_im_start_end", False)),
        # What is not said means yes in the published code.
        use_im_patch_token=bool(raw.get("mm_use_im_patch_token", True)),
        pad=raw.get("image_aspect_ratio") == "pad",
        trained=bool(notes.get("trained", True)),
        tower_inside=bool(raw.get("unfreeze_mm_vision_tower", False)),
        tower_config=raw.get("mm_vision_tower_config"),
        tower_checkpoint=raw.get("mm_vision_tower_checkpoint"),
        image_token=image_token,
    )
    for name in ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"):
        value = getattr(config.language, name)
        if type(value) is not int or value < 1:
            raise ValueError(f"{name} is {value!r}, a positive number was expected")
    return config


def _language(kind: Any, own: dict[str, Any]) -> PretrainedConfig:
    """The language model's configuration, read as the published code's release read it.

    transformers 4.51.3, under the attention that the published code runs with:
    """
    if kind.model_type in ("qwen2", "qwen3"):
        # ... masks every layer by `sliding_window` (4096 where it is not named), whatever
        # `use_sliding_window` and `max_window_layers` say;
        window = own.get("sliding_window", 4096)
        layers = own.get("num_hidden_layers", kind().num_hidden_layers)
        if window is not None:
            own = {
                **own,
                "use_sliding_window": True,
                "layer_types": ["sliding_attention"] * layers,
            }
    config: PretrainedConfig = kind.from_dict(own)
    if kind.model_type == "gemma" and "hidden_act" in own:
        # ... and takes Gemma's activation at its word: `gelu` is not the tanh approximation.
        config.hidden_act = own["hidden_act"]
    return config


def _is_foreign(key: str) -> bool:
    """Fields of the vision-language model, of which the language model knows nothing."""
    return key.startswith(("mm_", "tune_mm", "freeze_mm", "unfreeze_mm", "use_mm")) or key in (
        "model_type",
        "architectures",
        "auto_map",
        "image_aspect_ratio",
        "libra_bench",
        "torch_dtype",
        "dtype",
        "transformers_version",
        "use_maira_feature_norm",
    )
