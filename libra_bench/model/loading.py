"""Loading a checkpoint in the published layouts, from a folder or the local hub cache."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from libra_bench.core.errors import InputError, costs_a_study
from libra_bench.core.names import unknown_name
from libra_bench.hub import lookup
from libra_bench.model import maira, zoo
from libra_bench.model.assembly import assemble, with_random_weights
from libra_bench.model.chat_template import read_chat_template
from libra_bench.model.configuration import LibraConfig, read_config
from libra_bench.model.conversation import IMAGE_TAG, Conversation, conversation
from libra_bench.model.ends import EndTokens, end_tokens
from libra_bench.model.libra import LibraModel
from libra_bench.model.lora import PREFIX, adapter_file, merge_adapter
from libra_bench.model.parts import part_hashes
from libra_bench.model.places import find_checkpoint, find_parts, find_tower, require_base
from libra_bench.model.processor import ImageProcessor
from libra_bench.model.tokenizer import Tokenizer, encode_with_image, load_tokenizer
from libra_bench.model.vocabulary import (
    IMAGE_END,
    IMAGE_START,
    add_image_tokens,
    fit_vocabulary,
)
from libra_bench.model.weights import fingerprint, read_folder, read_weights, weight_files

__all__ = ["LoadedModel", "find_parts", "load_model", "load_tokenizer"]

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
DEFAULT_CONVERSATION = "libra_v1"
START_END_TAG = f"{IMAGE_START}{IMAGE_TAG}{IMAGE_END}"


@dataclass
class LoadedModel:
    """A model with all that it takes to ask it.

    Attributes:
        trained: False for random weights.
        weights_sha256: over the weight files; `random` without any.
        parts: hashes of whatever else decides an answer: settings, tower, tokenizer.
        commit: of the hub's repository, where the checkpoint lies in the hub's cache.
    """

    model: LibraModel
    tokenizer: Tokenizer
    processor: ImageProcessor
    conversation: Conversation
    model_id: str
    trained: bool
    weights_sha256: str
    eos_token_ids: EndTokens
    parts: dict[str, str] = field(default_factory=dict)
    commit: str | None = None

    @property
    def config(self) -> LibraConfig:
        """The checkpoint's configuration."""
        return self.model.config

    def prompt_ids(self, question: str) -> Tensor:
        """Ids [L] of a question in the model's conversation mode, -200 where the image goes.

        In MAIRA-2's own form the images stand in the question, and each has as many places.

        Raises:
            InputError: with the image in its place they leave no room for an answer.
        """
        if self.config.is_own_form:
            ids = self._filled_ids(self.conversation.prompt(question))
        else:
            ids = self._ids_with_image(question)
        length = self.model.length_of(ids)
        if length >= self.config.context_length:
            raise InputError(
                f"the prompt takes {length} positions with its image, the model's context has "
                f"{self.config.context_length}"
            )
        return ids

    def _ids_with_image(self, question: str) -> Tensor:
        tag = START_END_TAG if self.config.use_im_start_end else IMAGE_TAG
        text = self.conversation.prompt(question, image_tag=tag)
        return torch.tensor(encode_with_image(text, self.tokenizer))

    def _filled_ids(self, text: str) -> Tensor:
        token, places = self.config.image_token, self.image_places
        with costs_a_study("the text cannot be made tokens"):
            ids = self.tokenizer.encode(text)
        return torch.tensor(
            [same for one in ids for same in [one] * (places if one == token else 1)]
        )

    @property
    def image_places(self) -> int:
        """Vectors that one image becomes."""
        tower = self.model.vision_tower
        if not self.config.is_own_form:
            return tower.positions
        # This tower reads images of any size, and the published code counts the pixels it is given.
        side = self.processor.side // int(tower.encoder.config.patch_size)
        return side**2 + 1 - tower.skip

    def describe(self) -> dict[str, Any]:
        """Facts for the manifest."""
        return {
            "model_type": self.config.model_type,
            "connector": self.config.projector_type,
            "conv_mode": self.conversation.name,
            "parameters": sum(one.numel() for one in self.model.parameters()),
            "weights_sha256": self.weights_sha256,
            "parts_sha256": self.parts,
            "commit": self.commit,
            "device": str(self.model.device),
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "attention": self.model.language_model.config._attn_implementation,
        }


def load_model(
    name: str | Path,
    *,
    model_base: Path | None = None,
    vision_tower: Path | None = None,
    conv_mode: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    random_weights: bool = False,
    training: bool = False,
) -> LoadedModel:
    """Load a model by name or from a folder.

    Args:
        name: of the zoo, or a checkpoint folder: a whole model, a LoRA adapter with
            `non_lora_trainables.bin`, or a connector (`mm_projector.bin`) over `model_base`.
        model_base: the checkpoint under an adapter or a connector.
        vision_tower: the tower's folder, where it is not inside the checkpoint or in the cache.
        conv_mode: conversation mode; the model's own if None.
        device: `auto`, `cpu` or `cuda`.
        dtype: `auto` (float32 on a CPU, float16 on a GPU, as the published code), `float32`,
            `bfloat16` or `float16`.
            On a GPU with a half type the language model attends through flash-attn where it is
            installed, else through torch's own; `describe` says which.
        random_weights: the model's shape with random weights; only `config.json` is read.
        training: keep the vocabulary as it is and read texts as the published trainer does; else
            rows that the tokenizer has no token for are cut off, as the published code does.

    Raises:
        MissingResourceError: weights that are not on this machine.
        InputError: files that are broken or do not belong together; keys missing or left over
            are listed.
    """
    folder, entry = find_checkpoint(name)
    place, kind = resolve_device(device), resolve_dtype(dtype, device)
    config = read_config(folder)
    like = entry or zoo.published_as(folder.resolve().name)
    require_base(folder, model_base)
    tower = find_tower(config, folder, model_base, vision_tower)
    chosen = _conversation(config, folder, like, conv_mode, training=training)
    texts = model_base or folder
    tokenizer = load_tokenizer(texts, config.model_type, training=training)
    made_up = add_image_tokens(tokenizer, config, patch=not training)
    _refuse_misfit(chosen, tokenizer, folder)
    processor = ImageProcessor.read(tower)
    if config.is_own_form:
        _refuse_other_image_token(config, tokenizer, folder)
        processor = replace(processor, stretched=True)
    files: list[Path] = []
    if random_weights:
        model = with_random_weights(config, tower, place, kind, folder)
    else:
        state, files = _read_state(folder, model_base)
        if config.is_own_form:
            state = maira.published_names(state)
        model = assemble(config, state, tower, folder)
        if adapter_file(folder) is not None:
            model = model.to(kind)  # The published code merges in the type that it runs in.
            merge_adapter(model.language_model, folder)
    _refuse_other_pixels(model, processor, tower)
    # transformers' own LLaVA keeps the rows that no token has.
    cut = not training and not config.is_own_form
    fit_vocabulary(model, tokenizer, made_up, texts, cut=cut, grow=not random_weights)
    model = model.to(place, kind)
    if _has_flash_attention(place, kind):
        model.language_model.set_attn_implementation("flash_attention_2")
    model.eval()
    return LoadedModel(
        model=model,
        tokenizer=tokenizer,
        processor=processor,
        conversation=chosen,
        model_id=entry.name if entry else Path(folder).resolve().name,
        trained=config.trained and not random_weights,
        weights_sha256=fingerprint(files) if files else "random",
        eos_token_ids=end_tokens(model.language_model, tokenizer, chosen, texts),
        parts=part_hashes(folder, model_base, tower, config.tower_checkpoint),
        commit=lookup.commit_of(folder),
    )


def _conversation(
    config: LibraConfig,
    folder: Path,
    like: zoo.ZooEntry | None,
    asked: str | None,
    *,
    training: bool,
) -> Conversation:
    """How questions are put: as asked for, else as the model's page says.

    Raises:
        InputError: an unknown mode, or one for MAIRA-2's own form, which brings its own.
    """
    if not config.is_own_form:
        usual = (like.conv_mode if like else None) or DEFAULT_CONVERSATION
        return conversation(usual if asked is None else asked)
    if training:
        raise InputError(f"{folder}: MAIRA-2's own form is not trained here; Libra's form of it is")
    if asked not in (None, maira.CONVERSATION):
        raise InputError(
            f"conversation mode {asked!r} does not fit {folder}: MAIRA-2's own form has one alone, "
            "its chat template"
        )
    return read_chat_template(folder, maira.CONVERSATION)


def resolve_device(name: str) -> torch.device:
    """`auto`, `cpu` or `cuda` as a device of this machine.

    Raises:
        InputError: another name, or no GPU.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name not in ("cpu", "cuda") and not name.startswith("cuda:"):
        near = ("cuda",) if name.lower() in ("gpu", "cuda:0", "nvidia") else ()
        raise unknown_name("device", name, ("auto", "cpu", "cuda"), near)
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise InputError("--device cuda: torch finds no GPU here; --device cpu runs without one")
    return torch.device(name)


def resolve_dtype(name: str, device: str) -> torch.dtype:
    """A floating-point type by name; `auto` is float32 on a CPU, float16 on a GPU.

    Raises:
        InputError: an unknown name.
    """
    if name == "auto":
        return torch.float32 if resolve_device(device).type == "cpu" else torch.float16
    if name not in DTYPES:
        raise unknown_name("dtype", name, ("auto", *DTYPES))
    return DTYPES[name]


def _has_flash_attention(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether the language model may read prompts with flash-attn, where that is installed."""
    from transformers.utils import is_flash_attn_2_available

    half = dtype in (torch.bfloat16, torch.float16)
    return device.type == "cuda" and half and bool(is_flash_attn_2_available())


def _read_state(folder: Path, base: Path | None) -> tuple[dict[str, Tensor], list[Path]]:
    """Tensors of a checkpoint by their published names, without those of an adapter, and the files
    that the whole model comes from."""
    adapter, extra = adapter_file(folder), folder / "non_lora_trainables.bin"
    connector = folder / "mm_projector.bin"
    if adapter is None and not (base and connector.is_file()):
        if base is not None:
            raise InputError(f"{folder}: neither an adapter nor a connector to put on {base}")
        return read_folder(folder), weight_files(folder)
    assert base is not None
    state = read_folder(base)
    partial = [path for path in (adapter, extra, connector) if path and path.is_file()]
    for path in (connector, extra):
        if path.is_file():
            state.update(_published_names(read_weights(path)))
    return state, [*weight_files(base), *partial]


def _published_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names as in a whole checkpoint, without what PEFT puts before them."""
    names = {name.removeprefix(PREFIX): tensor for name, tensor in state.items()}
    return {
        name if name.startswith(("model.", "lm_head.")) else f"model.{name}": tensor
        for name, tensor in names.items()
    }


def _refuse_other_image_token(config: LibraConfig, tokenizer: Tokenizer, folder: Path) -> None:
    """Refuse a tokenizer whose image token is not the one that the model looks for."""
    found = tokenizer.token_id(IMAGE_TAG)
    if found != config.image_token:
        raise InputError(
            f"{folder}: its tokenizer gives {IMAGE_TAG} the id {found}, its config.json has "
            f"image_token_index {config.image_token}"
        )


def _refuse_misfit(mode: Conversation, tokenizer: Tokenizer, folder: Path) -> None:
    """Refuse a conversation mode whose special tokens the tokenizer would spell out as text."""
    unknown = [tag for tag in mode.special_tokens if tokenizer.token_id(tag) is None]
    if unknown:
        raise InputError(
            f"conversation mode {mode.name!r} does not fit {folder}: its tokenizer has no "
            f"{', '.join(unknown)}"
        )


def _refuse_other_pixels(model: LibraModel, processor: ImageProcessor, tower: Path) -> None:
    """Refuse a preprocessing whose images the tower cannot read."""
    encoder = model.vision_tower.encoder.config
    side = processor.side
    if encoder.model_type != "dinov2" and side != encoder.image_size:
        raise InputError(
            f"{tower}: its preprocessing makes images of {side} pixels, the tower reads "
            f"{encoder.image_size}"
        )
