"""Loading a checkpoint in the published layouts, from a folder or the local hub cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from libra_bench.core.errors import InputError, MissingResourceError
from libra_bench.core.files import listing
from libra_bench.core.names import unknown_name
from libra_bench.model import zoo
from libra_bench.model.configuration import LibraConfig, read_config
from libra_bench.model.conversation import Conversation, conversation
from libra_bench.model.libra import LibraModel
from libra_bench.model.lora import PREFIX, merge_adapter
from libra_bench.model.processor import ImageProcessor
from libra_bench.model.tokenizer import Tokenizer, load_tokenizer
from libra_bench.model.weights import fingerprint, read_folder, read_weights, weight_files

if TYPE_CHECKING:
    from transformers import PretrainedConfig

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
CONNECTOR, TOWER = "model.mm_projector.", "model.vision_tower.vision_tower."
DEFAULT_CONVERSATION = "libra_v1"


@dataclass
class LoadedModel:
    """A model with all that it takes to ask it.

    Attributes:
        trained: False for random weights.
        weights_sha256: over the weight files; `random` without any.
    """

    model: LibraModel
    tokenizer: Tokenizer
    processor: ImageProcessor
    conversation: Conversation
    model_id: str
    trained: bool
    weights_sha256: str
    eos_token_ids: Sequence[int]

    @property
    def config(self) -> LibraConfig:
        """The checkpoint's configuration."""
        return self.model.config

    def describe(self) -> dict[str, Any]:
        """Facts for the manifest."""
        return {
            "model_type": self.config.model_type,
            "connector": self.config.projector_type,
            "conv_mode": self.conversation.name,
            "parameters": sum(one.numel() for one in self.model.parameters()),
            "weights_sha256": self.weights_sha256,
            "device": str(self.model.device),
            "dtype": str(self.model.dtype).removeprefix("torch."),
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
        random_weights: the model's shape with random weights; only `config.json` is read.

    Raises:
        MissingResourceError: weights that are not on this machine.
        InputError: files that are broken or do not belong together; keys missing or left over
            are listed.
    """
    folder, entry = _find(name)
    place, kind = _device(device), _dtype(dtype, device)
    config = read_config(folder)
    mode = conv_mode or (entry.conv_mode if entry else None) or DEFAULT_CONVERSATION
    chosen = conversation(mode)
    tower = _tower_folder(config, folder, vision_tower)
    if random_weights:
        model = _random(config, tower).to(place, kind)
        files: list[Path] = []
    else:
        state, files = _read_state(folder, model_base)
        model = _assemble(config, state, tower, folder).to(place, kind)
    tokenizer = load_tokenizer(model_base or folder)
    model.eval()
    return LoadedModel(
        model=model,
        tokenizer=tokenizer,
        processor=ImageProcessor.read(tower),
        conversation=chosen,
        model_id=entry.name if entry else Path(folder).resolve().name,
        trained=config.trained and not random_weights,
        weights_sha256=fingerprint(files) if files else "random",
        eos_token_ids=_end_tokens(model.language_model, tokenizer),
    )


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


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name not in ("cpu", "cuda") and not name.startswith("cuda:"):
        raise unknown_name("device", name, ("auto", "cpu", "cuda"))
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise InputError("--device cuda: torch finds no GPU here; --device cpu runs without one")
    return torch.device(name)


def _dtype(name: str, device: str) -> torch.dtype:
    if name == "auto":
        return torch.float32 if _device(device).type == "cpu" else torch.bfloat16
    if name not in DTYPES:
        raise unknown_name("dtype", name, ("auto", *DTYPES))
    return DTYPES[name]


def _tower_folder(config: LibraConfig, folder: Path, given: Path | None) -> Path:
    """Where the tower's configuration is; its weights may lie inside the checkpoint."""
    if given is not None:
        if not (given / "config.json").is_file():
            raise InputError(f"--vision-tower {given}: no config.json in it")
        return given
    inside = folder / "vision_tower"
    if (inside / "config.json").is_file():
        return inside
    place = zoo.locate(config.vision_tower)
    if place is None:
        raise MissingResourceError(
            f"the vision tower {config.vision_tower} is not on this machine",
            f"{zoo.how_to_get(config.vision_tower)}, or name its folder by --vision-tower",
        )
    return place


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


def _random(config: LibraConfig, tower: Path) -> LibraModel:
    from transformers import AutoModel, AutoModelForCausalLM

    # Fixed, so that two machines time and answer the same; the caller's own stream goes on.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = AutoModel.from_config(_encoder_settings(tower))
        return LibraModel(config, encoder, AutoModelForCausalLM.from_config(config.language))


def _assemble(
    config: LibraConfig, state: dict[str, Tensor], tower: Path, folder: Path
) -> LibraModel:
    inside = _take(state, TOWER)
    connector = _take(state, CONNECTOR)
    language = _language_model(config, state, folder)
    model = LibraModel(config, _encoder(tower, inside), language)
    _load_strictly(model.connector, connector, f"{folder}: the connector")
    return model


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
    return _with_weights(
        MODEL_MAPPING[type(settings)],
        settings,
        inside or read_folder(tower),
        f"{tower}: the vision tower",
        # A whole CLIP or SigLIP checkpoint brings its text half along.
        tolerated=("text_model.", "logit_", "text_projection", "visual_projection"),
    )


def _encoder_settings(tower: Path) -> PretrainedConfig:
    from transformers import AutoConfig

    settings = AutoConfig.from_pretrained(tower, local_files_only=True)
    # A multimodal checkpoint (CLIP, SigLIP) holds its vision half under `vision_config`.
    return getattr(settings, "vision_config", settings)


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
    model: nn.Module
    report: dict[str, Any]
    try:
        with _without_bars():
            model, report = kind.from_pretrained(
                None,
                config=settings,
                state_dict=state,
                dtype=first.dtype,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
            )
    except RuntimeError as error:
        raise InputError(f"{label} does not fit its configuration ({error})") from None
    unexpected = [key for key in report["unexpected_keys"] if not key.startswith(tolerated)]
    wrong = [str(one) for one in report["mismatched_keys"]]
    _refuse_gaps(label, report["missing_keys"], unexpected, wrong)
    return model


@contextmanager
def _without_bars() -> Iterator[None]:
    """Keep transformers' own progress bars out of ours."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
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
    label: str,
    missing: Sequence[str] | set[str],
    unexpected: Sequence[str] | set[str],
    wrong: list[str],
) -> None:
    """Raise InputError where keys are missing, left over or of another shape; all are listed."""
    faults = [f"missing: {name}" for name in sorted(missing)]
    faults += [f"unexpected: {name}" for name in sorted(unexpected)]
    faults += [f"wrong shape: {name}" for name in wrong]
    if faults:
        raise InputError(f"{label} does not fit its weights: " + listing(faults))


def _end_tokens(language_model: nn.Module, tokenizer: Tokenizer) -> list[int]:
    """Every id that ends an answer: the tokenizer's, and those of the generation settings."""
    named = getattr(language_model.generation_config, "eos_token_id", None)
    several = named if isinstance(named, list) else [named]
    return sorted({one for one in (*several, tokenizer.eos_token_id) if one is not None})
