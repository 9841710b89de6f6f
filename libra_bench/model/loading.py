"""Loading a checkpoint in the published layouts, from a folder or the local hub cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from libra_bench.core.errors import InputError, MissingResourceError
from libra_bench.core.files import read_json
from libra_bench.core.names import unknown_name
from libra_bench.model import open_clip, zoo
from libra_bench.model.assembly import assemble, with_random_weights
from libra_bench.model.configuration import LibraConfig, read_config
from libra_bench.model.conversation import IMAGE_TAG, Conversation, conversation
from libra_bench.model.libra import LibraModel
from libra_bench.model.lora import PREFIX, merge_adapter
from libra_bench.model.parts import part_hashes
from libra_bench.model.processor import ImageProcessor
from libra_bench.model.tokenizer import Tokenizer, encode_with_image, load_tokenizer
from libra_bench.model.weights import fingerprint, read_folder, read_weights, weight_files

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
DEFAULT_CONVERSATION = "libra_v1"
START_END_TAG = f"<im_start>{IMAGE_TAG}<im_end>"


@dataclass
class LoadedModel:
    """A model with all that it takes to ask it.

    Attributes:
        trained: False for random weights.
        weights_sha256: over the weight files; `random` without any.
        parts: hashes of whatever else decides an answer: settings, tower, tokenizer.
    """

    model: LibraModel
    tokenizer: Tokenizer
    processor: ImageProcessor
    conversation: Conversation
    model_id: str
    trained: bool
    weights_sha256: str
    eos_token_ids: Sequence[int]
    parts: dict[str, str] = field(default_factory=dict)

    @property
    def config(self) -> LibraConfig:
        """The checkpoint's configuration."""
        return self.model.config

    def prompt_ids(self, question: str) -> Tensor:
        """Ids [L] of a question in the model's conversation mode, -200 where the image goes.

        Raises:
            InputError: with the image in its place they leave no room for an answer.
        """
        tag = START_END_TAG if self.config.use_im_start_end else IMAGE_TAG
        text = self.conversation.prompt(question, image_tag=tag)
        ids = torch.tensor(encode_with_image(text, self.tokenizer))
        length = len(ids) - 1 + self.model.vision_tower.positions
        if length >= self.config.context_length:
            raise InputError(
                f"the prompt takes {length} positions with its image, the model's context has "
                f"{self.config.context_length}"
            )
        return ids

    def describe(self) -> dict[str, Any]:
        """Facts for the manifest."""
        return {
            "model_type": self.config.model_type,
            "connector": self.config.projector_type,
            "conv_mode": self.conversation.name,
            "parameters": sum(one.numel() for one in self.model.parameters()),
            "weights_sha256": self.weights_sha256,
            "parts_sha256": self.parts,
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
) -> LoadedModel:
    """Load a model by name or from a folder.

    Args:
        name: of the zoo, or a checkpoint folder: a whole model, a LoRA adapter with
            `non_lora_trainables.bin`, or a connector (`mm_projector.bin`) over `model_base`.
        model_base: the checkpoint under an adapter or a connector.
        vision_tower: the tower's folder, where it is not inside the checkpoint or in the cache.
        conv_mode: conversation mode; the model's own if None.
        device: `auto`, `cpu` or `cuda`.
        dtype: `auto` (float32 on a CPU, bfloat16 on a GPU), `float32`, `bfloat16` or `float16`.
            On a GPU with a half type the language model attends through flash-attn where it is
            installed, else through torch's own; `describe` says which.
        random_weights: the model's shape with random weights; only `config.json` is read.

    Raises:
        MissingResourceError: weights that are not on this machine.
        InputError: files that are broken or do not belong together; keys missing or left over
            are listed.
    """
    folder, entry = _find(name)
    place, kind = resolve_device(device), resolve_dtype(dtype, device)
    config = read_config(folder)
    like = entry or zoo.published_as(folder.resolve().name)
    mode = conv_mode or (like.conv_mode if like else None) or DEFAULT_CONVERSATION
    chosen = conversation(mode)
    tower = _tower_folder(config, folder, model_base, vision_tower)
    files: list[Path] = []
    if random_weights:
        model = with_random_weights(config, tower, place, kind)
    else:
        state, files = _read_state(folder, model_base)
        model = assemble(config, state, tower, folder)
    model = model.to(place, kind)
    if _has_flash_attention(place, kind):
        model.language_model.set_attn_implementation("flash_attention_2")
    tokenizer = load_tokenizer(model_base or folder)
    _refuse_misfit(chosen, tokenizer, folder)
    model.eval()
    return LoadedModel(
        model=model,
        tokenizer=tokenizer,
        processor=ImageProcessor.read(tower),
        conversation=chosen,
        model_id=entry.name if entry else Path(folder).resolve().name,
        trained=config.trained and not random_weights,
        weights_sha256=fingerprint(files) if files else "random",
        eos_token_ids=_end_tokens(model.language_model, tokenizer, chosen, model_base or folder),
        parts=part_hashes(folder, model_base, tower),
    )


def find_parts(
    name: str | Path, model_base: Path | None = None, vision_tower: Path | None = None
) -> tuple[Path, Path]:
    """Folders of a checkpoint by its name or folder, and of its vision tower.

    Raises:
        InputError: neither a checkpoint nor the name of one.
        MissingResourceError: weights that are not on this machine.
    """
    folder, _ = _find(name)
    return folder, _tower_folder(read_config(folder), folder, model_base, vision_tower)


def _find(name: str | Path) -> tuple[Path, zoo.ZooEntry | None]:
    if Path(name).is_dir():
        return Path(name), None
    entry = zoo.find(str(name))
    if entry.kind == "baseline":
        raise InputError(f"{name} is a text-only baseline; it has no weights to load")
    zoo.require(entry)
    folder = zoo.is_present(entry)
    assert folder is not None
    return folder, entry


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
    """A floating-point type by name; `auto` is float32 on a CPU, bfloat16 on a GPU.

    Raises:
        InputError: an unknown name.
    """
    if name == "auto":
        return torch.float32 if resolve_device(device).type == "cpu" else torch.bfloat16
    if name not in DTYPES:
        raise unknown_name("dtype", name, ("auto", *DTYPES))
    return DTYPES[name]


def _has_flash_attention(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether the language model may read prompts with flash-attn, where that is installed."""
    from transformers.utils import is_flash_attn_2_available

    half = dtype in (torch.bfloat16, torch.float16)
    return device.type == "cuda" and half and bool(is_flash_attn_2_available())


def _tower_folder(config: LibraConfig, folder: Path, base: Path | None, given: Path | None) -> Path:
    """Where the tower's configuration is; its weights may lie inside the checkpoint."""
    if given is not None:
        if not _is_tower(given):
            raise InputError(f"--vision-tower {given}: no config.json in it")
        return given
    named = Path(config.vision_tower)
    near = [place for one in (folder, base) if one for place in (one, one.resolve().parent)]
    for place in (
        folder / "vision_tower",
        *((named,) if named.is_absolute() else ()),
        *(one / named.name for one in near),
    ):
        if _is_tower(place):
            return place
    found = zoo.locate(config.vision_tower)
    if found is None:
        raise MissingResourceError(
            f"the vision tower {config.vision_tower} is not on this machine",
            f"{zoo.how_to_get(config.vision_tower)}, or name its folder by --vision-tower",
        )
    return found


def _is_tower(folder: Path) -> bool:
    return (folder / "config.json").is_file() or open_clip.is_open_clip(folder)


def _read_state(folder: Path, base: Path | None) -> tuple[dict[str, Tensor], list[Path]]:
    """All tensors of a checkpoint by their published names, and the files they came from."""
    adapter, extra = folder / "adapter_model.safetensors", folder / "non_lora_trainables.bin"
    connector = folder / "mm_projector.bin"
    if not adapter.is_file() and (folder / "adapter_model.bin").is_file():
        adapter = folder / "adapter_model.bin"
    partial = [path for path in (adapter, extra, connector) if path.is_file()]
    if not adapter.is_file() and not (base and connector.is_file()):
        if base is not None:
            raise InputError(f"{folder}: neither an adapter nor a connector to put on {base}")
        return read_folder(folder), weight_files(folder)
    if base is None:
        raise InputError(f"{folder}: an adapter; name the model it belongs to by --model-base")
    state = read_folder(base)
    for path in (connector, extra):
        if path.is_file():
            state.update(_published_names(read_weights(path)))
    if adapter.is_file():
        merge_adapter(state, read_weights(adapter), folder)
    return state, [*weight_files(base), *partial]


def _published_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names as in a whole checkpoint, without what PEFT puts before them."""
    names = {name.removeprefix(PREFIX): tensor for name, tensor in state.items()}
    return {
        name if name.startswith(("model.", "lm_head.")) else f"model.{name}": tensor
        for name, tensor in names.items()
    }


def _refuse_misfit(mode: Conversation, tokenizer: Tokenizer, folder: Path) -> None:
    """Refuse a conversation mode whose special tokens the tokenizer would spell out as text."""
    unknown = [tag for tag in mode.special_tokens if tokenizer.token_id(tag) is None]
    if unknown:
        raise InputError(
            f"conversation mode {mode.name!r} does not fit {folder}: its tokenizer has no "
            f"{', '.join(unknown)}"
        )


def _end_tokens(
    language_model: Any, tokenizer: Tokenizer, mode: Conversation, folder: Path
) -> list[int]:
    """Every id that ends an answer: of the tokenizer, the conversation, the generation settings."""
    named = [language_model.generation_config.eos_token_id]
    settings = folder / "generation_config.json"
    if settings.is_file():
        named.append(read_json(settings).get("eos_token_id"))
    several = [one for row in named for one in (row if isinstance(row, list) else [row])]
    both = (tokenizer.eos_token_id, tokenizer.token_id(mode.stop.strip()))
    return sorted({one for one in (*several, *both) if one is not None})
