"""Libra's two stages, and every setting of a training run by its Hugging Face name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import HfArgumentParser, TrainingArguments

from libra_bench.core.errors import InputError
from libra_bench.core.names import unknown_name
from libra_bench.training.module import Lora
from libra_bench.training.quantization import KINDS, Quantization

# What both stages share in the published scripts (X-iZhang/Libra, scripts/pretrain.sh and
# finetune_lora.sh). `warmup_steps` below 1 is a share of all steps.
SHARED: dict[str, Any] = {
    "per_device_train_batch_size": 16,
    "per_device_eval_batch_size": 4,
    "learning_rate": 2e-5,
    "lr_scheduler_type": "cosine",
    "warmup_steps": 0.03,
    "weight_decay": 0.0,
    "gradient_checkpointing": True,
    "dataloader_num_workers": 4,
    "save_strategy": "steps",
    "save_steps": 500,
    "save_total_limit": 2,
    "logging_steps": 1,
    "report_to": "none",
}
STAGES: dict[str, dict[str, Any]] = {
    "align": {**SHARED, "num_train_epochs": 1.0, "tune_mm_mlp_adapter": True},
    "finetune": {**SHARED, "num_train_epochs": 3.0, "lora_enable": True},
}


@dataclass
class LibraTrainingArguments(TrainingArguments):
    """Hugging Face's arguments, and those of the published trainer that are Libra's own."""

    tune_mm_mlp_adapter: bool = field(
        default=False, metadata={"help": "The connector learns (stage align: yes)."}
    )
    tune_language_model: bool = field(
        default=False, metadata={"help": "All weights of the language model learn, without LoRA."}
    )
    unfreeze_mm_vision_tower: bool = field(
        default=False, metadata={"help": "The vision tower learns."}
    )
    lora_enable: bool = field(
        default=False, metadata={"help": "LoRA on the language model (stage finetune: yes)."}
    )
    lora_r: int = field(default=128, metadata={"help": "Rank of the adapters."})
    lora_alpha: int = field(default=256, metadata={"help": "Their scale is alpha / r."})
    lora_dropout: float = field(default=0.05, metadata={"help": "Dropout before each adapter."})
    mm_projector_lr: float | None = field(
        default=None, metadata={"help": "The connector's own learning rate."}
    )
    model_max_length: int = field(
        default=2048, metadata={"help": "Positions of a conversation, the image's included."}
    )
    image_padding: str = field(
        default="black",
        metadata={"help": "black as the published trainer, or mean as at inference."},
    )
    attn_implementation: str | None = field(
        default=None, metadata={"help": "sdpa, flash_attention_2 or eager."}
    )
    bits: int = field(
        default=16, metadata={"help": "8 or 4: the frozen language model so, by bitsandbytes."}
    )
    quant_type: str = field(default="nf4", metadata={"help": "Of 4 bits: nf4 or fp4."})
    double_quant: bool = field(
        default=True, metadata={"help": "Quantise the scales of 4 bits as well."}
    )
    warmup_ratio: float | None = field(
        default=None,
        metadata={"help": "Share of all steps that warm up, as transformers 4 called it."},
    )
    as_published: bool = field(
        default=False,
        metadata={
            "help": "Repeat what the published trainer does and this one does better: see "
            "docs/training.md."
        },
    )
    generation_metric: str | None = field(
        default=None,
        metadata={"help": "Figure of generated validation reports that chooses the best (bleu4)."},
    )
    generation_samples: int = field(
        default=64, metadata={"help": "Validation reports generated at each evaluation."}
    )

    @property
    def lora(self) -> Lora | None:
        """The adapters, where there are any."""
        return Lora(self.lora_r, self.lora_alpha, self.lora_dropout) if self.lora_enable else None

    @property
    def quantization(self) -> Quantization | None:
        """How the frozen language model is kept, where not in 16 or 32 bits."""
        if self.bits == 16:
            return None
        return Quantization(self.bits, self.quant_type, self.double_quant)

    @property
    def learns_whole(self) -> bool:
        """Whether weights learn that neither an adapter nor a connector's file holds."""
        return self.tune_language_model or self.unfreeze_mm_vision_tower


def training_arguments(
    stage: str, output: str, given: Sequence[str] = (), *, validated: bool = False
) -> LibraTrainingArguments:
    """The arguments of a stage, its defaults overridden by what is given.

    Args:
        given: Hugging Face arguments as on a command line, `--learning_rate 1e-4`.
        validated: whether there is validation data, which is then looked at whenever a
            checkpoint is saved, and chooses the best.

    Raises:
        InputError: an unknown stage or argument, or values that contradict each other.
    """
    if stage not in STAGES:
        raise unknown_name("stage", stage, STAGES)
    if any(_name(one) in ("--output_dir", "--output-dir") for one in given):
        raise InputError("training arguments: --output names the folder, --output_dir must not")
    defaults = {**STAGES[stage], **_precision()}
    kind: Any = LibraTrainingArguments
    parser = HfArgumentParser(kind, add_help=False, allow_abbrev=False)
    parser.set_defaults(**defaults)
    parser.error = _refuse  # type: ignore[method-assign, assignment]
    try:
        asked, _ = parser.parse_known_args(["--output_dir", output, *given])
        if getattr(asked, "activation_checkpointing", True) is None:
            # Newer releases of transformers name it so, and know the old name as an alias.
            parser.set_defaults(activation_checkpointing=asked.gradient_checkpointing)
        if validated:
            parser.set_defaults(
                eval_strategy=asked.save_strategy,
                eval_steps=asked.save_steps,
                load_best_model_at_end=asked.save_strategy != "no",
            )
        (arguments,) = parser.parse_args_into_dataclasses(["--output_dir", output, *given])
    except InputError:
        raise
    except ValueError as error:
        unknown = [one for one in given if one.startswith("--") and not _known(parser, one)]
        if unknown:
            options = [name for action in parser._actions for name in action.option_strings]
            raise unknown_name("training argument", _name(unknown[0]), options) from None
        raise InputError(f"training arguments: {error}") from None
    except Exception as error:  # noqa: BLE001  # argparse and the arguments' own checks
        raise InputError(f"training arguments: {error}") from None
    _check(arguments, validated)
    if arguments.warmup_ratio is not None and "--warmup_steps" not in given:
        # Below 1 it is a share of all steps.
        arguments.warmup_steps = arguments.warmup_ratio
    if arguments.as_published:
        arguments.average_tokens_across_devices = False
    return arguments


def _name(option: str) -> str:
    return option.partition("=")[0]


def _known(parser: HfArgumentParser, option: str) -> bool:
    return _name(option) in parser._option_string_actions


def _refuse(message: str) -> None:
    raise InputError(f"training arguments: {message}")


def _precision() -> dict[str, Any]:
    """bfloat16 where a GPU computes in it; a CPU trains in float32."""
    if not torch.cuda.is_available():
        return {"dataloader_pin_memory": False}
    return {"bf16": True, "tf32": True} if torch.cuda.is_bf16_supported() else {}


def _check(arguments: LibraTrainingArguments, validated: bool) -> None:
    faults = []
    if arguments.lora_enable and arguments.learns_whole:
        faults.append("LoRA goes with a frozen tower and language model: add --lora_enable false")
    if not any((arguments.tune_mm_mlp_adapter, arguments.lora_enable, arguments.learns_whole)):
        faults.append("nothing is left to learn")
    if arguments.warmup_ratio is not None and not 0 <= arguments.warmup_ratio < 1:
        faults.append(f"--warmup_ratio {arguments.warmup_ratio}: a share of all steps, below 1")
    if arguments.image_padding not in ("black", "mean"):
        faults.append(f"--image_padding {arguments.image_padding}: black or mean")
    if arguments.bits not in (4, 8, 16):
        faults.append(f"--bits {arguments.bits}: 4, 8 or 16")
    elif arguments.quantization and arguments.learns_whole:
        faults.append(f"a language model in {arguments.bits} bits cannot learn but by LoRA")
    elif arguments.quantization and (arguments.fsdp or arguments.deepspeed):
        faults.append(f"--bits {arguments.bits} goes with one process a GPU, not FSDP or ZeRO")
    if arguments.quant_type not in KINDS:
        faults.append(f"--quant_type {arguments.quant_type}: {' or '.join(KINDS)}")
    if arguments.generation_metric and not validated:
        faults.append("--generation_metric needs --validation-data")
    if arguments.n_gpu > 1:
        faults.append(
            "several GPUs need a process each: start it by `torchrun --nproc_per_node N -m "
            "libra_bench train ...`, or show it one by CUDA_VISIBLE_DEVICES"
        )
    if faults:
        raise InputError("training arguments: " + "; ".join(faults))
