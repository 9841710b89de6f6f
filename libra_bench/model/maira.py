"""MAIRA-2 in the form in which Microsoft publishes it: LLaVA's of transformers, a tower inside.

What is read here is what `microsoft/maira-2` does under transformers 4.51.3: a DINOv2 whose last
state is normalised, linear layers, a causal language model, and a prompt in which every image has
a place of its own. Nothing of the page's own code is run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from libra_bench.model.conversation import IMAGE_TAG

if TYPE_CHECKING:
    from torch import Tensor

    from libra_bench.core.records import Example

MODEL_TYPE = "maira2"
CONVERSATION = "maira_2_own"
"""The name under which predictions tell how they were asked; the text is the checkpoint's own."""
MISSING = "N/A"
"""What stands for a section that nobody knows."""
QUESTION = (
    "Provide a description of the findings in the radiology study in comparison to the prior "
    "frontal image."
)
LANGUAGE_MODELS = ("llama", "mistral", "qwen2", "qwen3", "phi3", "gemma")
PLAIN = {"projector_hidden_act": "gelu", "vision_feature_layer": -1}
"""Settings that are read with these values alone, which are MAIRA-2's."""

# The published names of tensors → those of Libra's checkpoints; later releases of transformers
# save the same model with a `model.` before all but the head.
NAMES = (
    (re.compile(r"(?:model\.)?vision_tower\."), "model.vision_tower.vision_tower."),
    (re.compile(r"(?:model\.)?multi_modal_projector\.layers\."), "model.mm_projector.projector."),
    (re.compile(r"language_model\.(?=model\.|lm_head\.)"), ""),
    (re.compile(r"model\.language_model\."), "model."),
)


def is_own_form(raw: Mapping[str, Any]) -> bool:
    """Whether a `config.json` is MAIRA-2's own, or another in the same layout."""
    return isinstance(raw.get("text_config"), dict)


def as_libras(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration in the fields of Libra's checkpoints.

    Raises:
        ValueError: settings that MAIRA-2 does not have.
    """
    text, vision = raw["text_config"], raw.get("vision_config")
    if raw.get("model_type") != MODEL_TYPE:
        raise ValueError(f"model_type {raw.get('model_type')!r} in this layout; {MODEL_TYPE} is")
    if not isinstance(vision, dict) or vision.get("model_type") != "dinov2":
        raise ValueError("no vision_config of a dinov2")
    language = text.get("model_type", "llama")
    if language not in LANGUAGE_MODELS:
        raise ValueError(f"text_config.model_type {language!r} is not known")
    for name, only in PLAIN.items():
        if raw.get(name, only) != only:
            raise ValueError(f"{name} {raw[name]!r}; {only!r} is read")
    _refuse_other_maps(vision)
    layers = raw.get("projector_n_layers", 4)
    if type(layers) is not int or layers < 1:
        raise ValueError(f"projector_n_layers is {layers!r}, a positive number was expected")
    strategy = raw.get("vision_feature_select_strategy", "default")
    if strategy not in ("default", "full"):
        raise ValueError(f"vision_feature_select_strategy {strategy!r}: default or full expected")
    return {
        **text,
        "mm_vision_tower": "inside",
        "mm_hidden_size": vision.get("hidden_size", 768),
        "mm_projector_type": f"mlp{layers}x_gelu",
        "mm_vision_select_layer": -1,
        "mm_vision_select_feature": "patch" if strategy == "default" else "cls_patch",
        "mm_use_im_patch_token": False,
        "use_maira_feature_norm": True,
        "libra_bench": raw.get("libra_bench") or {},
    }


def image_token(raw: Mapping[str, Any]) -> int:
    """The id that stands in a prompt for each vector of an image."""
    token = raw.get("image_token_index", raw.get("image_token_id", 32000))
    if type(token) is not int or token < 0:
        raise ValueError(f"image_token_index is {token!r}, a token's id was expected")
    return token


def _refuse_other_maps(vision: Mapping[str, Any]) -> None:
    """Refuse a backbone that gives something else than the last state, normalised."""
    last = vision.get("num_hidden_layers", 12)
    names, indices = vision.get("out_features"), vision.get("out_indices")
    if names not in (None, [f"stage{last}"]) or indices not in (None, [last], [-1]):
        raise ValueError(f"vision_config.out_features {names or indices}: the last stage is read")
    if not vision.get("apply_layernorm", True):
        raise ValueError("vision_config.apply_layernorm is off; normalised states are read")
    if vision.get("reshape_hidden_states", True):
        # Maps [width, height, width] do not fit the published code's own next step.
        raise ValueError("vision_config.reshape_hidden_states must be off")


def published_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of MAIRA-2 under the names of Libra's checkpoints; unknown names stay."""
    renamed = {}
    for name, tensor in state.items():
        for form, ours in NAMES:
            if found := form.match(name):
                name = ours + name[found.end() :]
                break
        renamed[name] = tensor
    return renamed


def views(example: Example) -> dict[str, str]:
    """Names of an example's images by what they show, in the order of the prompt.

    The lateral image stands in a field `lateral` of the example.
    """
    found = {"current": example.image[0]}
    if lateral := example.extra("lateral"):
        found["lateral"] = lateral
    if example.has_prior:
        found["prior"] = example.image[1]
    return found


def question(example: Example, sections: Mapping[str, str], task: str = QUESTION) -> str:
    """What the user says: each image in its place, the prior report, the task, three sections.

    Args:
        sections: texts of `indication`, `technique` and `comparison`, as far as they are known.
        task: another question; it is put as it is, without sections.
    """
    shown = views(example) if example.image else {"current": ""}
    said = {
        "current": "Given the current frontal image" + (" only" if len(shown) == 1 else ""),
        "lateral": ("" if "prior" in shown else " and") + " the current lateral image",
        "prior": " and the prior frontal image",
    }
    text = "".join(said[role] + IMAGE_TAG for role in shown)
    if "prior" in shown:
        text += f" PRIOR_REPORT: {' '.join(example.extra('prior_report').split()) or MISSING}"
    text += f" {task}"
    if task == QUESTION:
        for name in ("indication", "technique", "comparison"):
            text += f" {name.upper()}: {sections.get(name) or MISSING}"
    return text
