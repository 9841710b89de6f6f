"""What each stage trains, on a bare model."""

from __future__ import annotations

from typing import Any

from torch import nn

from libra_bench.core.errors import MissingResourceError
from libra_bench.model.libra import LibraModel
from libra_bench.perf.count_training import LORA_RANK, check_stage


def prepare(
    model: LibraModel, stage: str, *, rank: int = LORA_RANK, recompute: bool = False
) -> list[nn.Parameter]:
    """Freeze all but the connector (`align`) or LoRA on the language model's linears (`finetune`).

    Adapters follow Libra: alpha twice the rank, dropout 0.05, every linear but the head.

    Args:
        recompute: keep each decoder layer's input only, and do the layer again when going back.

    Returns:
        The trained parameters.

    Raises:
        InputError: another stage; PEFT is missing.
    """
    check_stage(stage)
    model.requires_grad_(False)
    model.train()
    model.vision_tower.eval()
    if stage == "align":
        model.connector.requires_grad_(True)
    else:
        model.connector.eval()
        add_adapters(model.language_model, rank)
    if recompute:
        language = model.language_model
        language.config.use_cache = False
        # Newer transformers know it by this name, and warn of the old one.
        named = getattr(language, "activation_checkpointing_enable", None)
        (named or language.gradient_checkpointing_enable)({"use_reentrant": False})
    return [one for one in model.parameters() if one.requires_grad]


def add_adapters(language_model: Any, rank: int) -> None:
    """Put LoRA on every linear of a causal language model but its head, in place."""
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise MissingResourceError(
            "PEFT is not installed, stage 2 trains its adapters",
            "pip install 'libra-bench[train]'",
        ) from None
    head = language_model.get_output_embeddings()
    names = [
        name
        for name, module in language_model.named_modules()
        if isinstance(module, nn.Linear) and module is not head
    ]
    settings = LoraConfig(
        r=rank, lora_alpha=2 * rank, lora_dropout=0.05, bias="none", target_modules=names
    )
    inject_adapter_in_model(settings, language_model)
