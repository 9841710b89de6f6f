"""One training run, from its settings to the saved model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import set_seed

from libra_bench.core.errors import InputError, MissingResourceError, writing
from libra_bench.core.files import listing, sha256_of, write_json
from libra_bench.core.outputs import sole_writer
from libra_bench.model import zoo
from libra_bench.model.loading import LoadedModel
from libra_bench.model.saving import remove
from libra_bench.training.checkpoints import (
    cut_off_checkpoints,
    whole_checkpoints,
)
from libra_bench.training.conversations import TrainingConversation, read_conversations
from libra_bench.training.dataset import ConversationDataset, require_an_image
from libra_bench.training.module import TrainedLibra
from libra_bench.training.quantization import quantize
from libra_bench.training.resuming import RECORD, check_output, is_at_the_end, require_same
from libra_bench.training.stages import LibraTrainingArguments, training_arguments
from libra_bench.training.starting import start
from libra_bench.training.trainer import LibraTrainer, Validate
from libra_bench.training.validation import metric_of, validator
from libra_bench.version import __version__


@dataclass(frozen=True)
class TrainingSettings:
    """What to train, on what, and where to.

    Attributes:
        given: Hugging Face's arguments as on a command line.
    """

    stage: str
    model: str
    data: Path
    image_root: Path
    output: Path
    model_base: Path | None = None
    vision_tower: Path | None = None
    connector: str = "TAC"
    conv_mode: str | None = None
    validation_data: Path | None = None
    limit: int | None = None
    resume: bool = False
    given: Sequence[str] = ()


@dataclass
class Trained:
    """What a run gave.

    Attributes:
        losses: by step, as logged.
        skipped: conversations passed over in this process because an image could not be read.
        speaks: whether this process speaks for all.
    """

    output: Path
    steps: int
    losses: dict[int, float] = field(default_factory=dict)
    skipped: int = 0
    best: str | None = None
    speaks: bool = True


def train(settings: TrainingSettings, say: Callable[[str], None] = lambda line: None) -> Trained:
    """Train, and leave the model in `settings.output`, in its published layout.

    Args:
        say: hears what the user should know.

    Raises:
        InputError: settings, data or weights that cannot be used.
        MissingResourceError: a package of the extra `train` is not installed.
        RunError: the loss is not a number, or a checkpoint cannot be written.
    """
    _require("accelerate")
    arguments = training_arguments(
        settings.stage,
        str(settings.output),
        settings.given,
        validated=settings.validation_data is not None,
    )
    if arguments.lora_enable:
        _require("peft")
    if not arguments.should_save:
        say = _silent  # One process speaks for all.
    inputs = (_folder(settings.model), settings.model_base, settings.vision_tower)
    look = partial(
        check_output,
        settings.output,
        resume=settings.resume,
        inputs=(*inputs, settings.image_root, settings.data.parent),
    )
    look()
    # Whatever the files can tell is told before any weights are loaded.
    conversations = _conversations(settings, settings.data)
    held_out = None
    if settings.validation_data is not None:
        held_out = _conversations(settings, settings.validation_data)
    loaded, origin = start(
        settings.model,
        model_base=settings.model_base,
        vision_tower=settings.vision_tower,
        connector=settings.connector,
        conv_mode=settings.conv_mode,
        seed=arguments.seed,
    )
    data = _dataset(settings, settings.data, conversations, loaded, arguments, say)
    validation, validate = None, None
    if settings.validation_data is not None and held_out is not None:
        validation = _dataset(settings, settings.validation_data, held_out, loaded, arguments, say)
        validate = _validator(settings, arguments, loaded, validation)
    # Adapters draw their first weights: the same ones in every process.
    set_seed(arguments.seed)
    size = sum(one.numel() for one in loaded.model.parameters())
    module = _module(loaded, arguments)
    say(f"{module.learned():,} parameters learn, in or over a model of {size:,}")
    record = _record(settings, arguments, loaded, size, module.learned(), data)
    with ExitStack() as stack:
        if arguments.should_save:
            with writing(settings.output):
                settings.output.mkdir(parents=True, exist_ok=True)
            stack.enter_context(sole_writer(settings.output))
            look()  # Another process may have come and gone since.
        require_same(settings.output, record)
        last = _resume_from(settings, arguments)
        trainer = LibraTrainer(module, arguments, data, validation, origin, validate)
        if arguments.should_save:
            write_json(settings.output / RECORD, record)
        if last is not None and is_at_the_end(last):
            trainer.take_end(last)
        else:
            trainer.train(resume_from_checkpoint=str(last) if last else None)
        trainer.save_model()
        trainer.save_state()
    losses = {
        int(row["step"]): float(row["loss"]) for row in trainer.state.log_history if "loss" in row
    }
    return Trained(
        settings.output,
        trainer.state.global_step,
        losses,
        trainer.skipped,
        trainer.state.best_model_checkpoint,
        bool(arguments.should_save),
    )


def _require(package: str) -> None:
    """Refuse at once what would break off deep inside Hugging Face's trainer."""
    if find_spec(package) is None:
        raise MissingResourceError(
            f"training needs {package}, which is not installed",
            "pip install 'libra-bench[train]'",
        )


def _silent(line: str) -> None:
    """Say nothing."""


def _resume_from(settings: TrainingSettings, arguments: LibraTrainingArguments) -> Path | None:
    """The checkpoint to go on from; what was cut off while it was written is removed."""
    whole = whole_checkpoints(settings.output)
    # Every process looks before one of them writes there.
    if arguments.world_size > 1:
        torch.distributed.barrier()
    if arguments.should_save:
        for folder in cut_off_checkpoints(settings.output):
            remove(folder)
    return whole[-1] if settings.resume and whole else None


def _conversations(settings: TrainingSettings, path: Path) -> list[TrainingConversation]:
    if settings.limit is not None and settings.limit < 1:
        raise InputError(f"limit {settings.limit}: at least 1 was expected")
    conversations = read_conversations(path)[: settings.limit]
    require_an_image(conversations, settings.image_root)
    return conversations


def _dataset(
    settings: TrainingSettings,
    path: Path,
    conversations: list[TrainingConversation],
    loaded: LoadedModel,
    arguments: LibraTrainingArguments,
    say: Callable[[str], None],
) -> ConversationDataset:
    data = ConversationDataset(
        conversations,
        loaded,
        settings.image_root,
        max_length=arguments.model_max_length,
        padding="mean" if arguments.image_padding == "mean" else "black",
        as_published=arguments.as_published,
    )
    if data.refused:
        say(f"{path}: {len(data.refused)} conversations left out: {listing(data.refused, 5)}")
    return data


def _validator(
    settings: TrainingSettings,
    arguments: LibraTrainingArguments,
    loaded: LoadedModel,
    validation: ConversationDataset,
) -> Validate | None:
    figure = arguments.generation_metric
    if figure is None:
        return None
    if arguments.fsdp or arguments.deepspeed:
        raise InputError("--generation_metric needs whole weights in each process: no FSDP, ZeRO")
    arguments.metric_for_best_model = f"eval_{figure}"
    arguments.greater_is_better = metric_of(figure)[1]
    chosen = validation.conversations[: arguments.generation_samples]
    return validator(loaded, chosen, settings.image_root, figure)


def _module(loaded: LoadedModel, arguments: LibraTrainingArguments) -> TrainedLibra:
    model = loaded.model
    # What training reads once need not be kept; checkpointing could not keep it.
    model.language_model.config.use_cache = False
    if arguments.attn_implementation:
        model.language_model.set_attn_implementation(arguments.attn_implementation)
    if arguments.quantization:
        compute = torch.bfloat16 if arguments.bf16 else torch.float32
        quantize(model.language_model, arguments.quantization, arguments.device, compute)
    module = TrainedLibra(
        model,
        connector=arguments.tune_mm_mlp_adapter,
        language=arguments.tune_language_model,
        tower=arguments.unfreeze_mm_vision_tower,
        lora=arguments.lora,
        as_published=arguments.as_published,
    )
    if arguments.bf16 and not arguments.fsdp:
        # What learns stays in float32, and is computed with in bfloat16 by autocast. FSDP
        # flattens parameters together and wants them of one type.
        for parameter in module.parameters():
            # Quantised weights are whole numbers.
            if not parameter.requires_grad and parameter.is_floating_point():
                parameter.data = parameter.data.to(torch.bfloat16)
    return module


def _record(
    settings: TrainingSettings,
    arguments: LibraTrainingArguments,
    loaded: LoadedModel,
    size: int,
    learned: int,
    data: ConversationDataset,
) -> dict[str, Any]:
    """What was trained from what, which is kept beside the model."""
    given: dict[str, Any] = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in asdict(settings).items()
    }
    validation = settings.validation_data
    return {
        "libra_bench": __version__,
        "torch": torch.__version__,
        "given": given,
        "arguments": arguments.to_sanitized_dict(),
        "processes": arguments.world_size,
        "data_sha256": sha256_of(settings.data),
        "validation_sha256": sha256_of(validation) if validation else None,
        "start_weights": loaded.weights_sha256,
        "start_parts": loaded.parts,
        "conversations": len(data),
        "left_out": len(data.refused),
        "parameters": size,
        "learned_parameters": learned,
    }


def _folder(model: str) -> Path | None:
    """A model's folder, where it is named by one."""
    return zoo.folder_of(model)
