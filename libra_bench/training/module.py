"""The module that is trained: which parts learn, and the loss of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from libra_bench.core.errors import InputError
from libra_bench.model.libra import LibraModel

ADAPTER = "default"
"""PEFT's name for an adapter that was given none."""


@dataclass(frozen=True)
class Lora:
    """Low-rank adapters (Hu et al., 2021): rank, scale and dropout."""

    r: int = 128
    alpha: int = 256
    dropout: float = 0.05


class TrainedLibra(nn.Module):
    """Libra with the parts that learn chosen.

    Frozen parts stay in evaluation mode, so that a frozen connector gives what it will give when
    reports are written. (The published trainer leaves its dropout on; so does `as_published`.)

    Args:
        model: the model; changed in place.
        connector, tower: whether these learn.
        language: whether all weights of the language model learn.
        lora: adapters on the language model instead.
        as_published: leave a frozen connector's dropout on.
    """

    def __init__(
        self,
        model: LibraModel,
        *,
        connector: bool,
        language: bool,
        tower: bool,
        lora: Lora | None = None,
        as_published: bool = False,
    ) -> None:
        super().__init__()
        self._dropout_stays = as_published
        if lora and (language or tower):
            raise InputError("LoRA goes with a frozen tower and a frozen language model")
        self.model = model
        self.lora = lora
        self.tower_learns, self.connector_learns, self.language_learns = tower, connector, language
        model.requires_grad_(False)
        self.adapted = linear_layers(model.language_model) if lora else []
        if lora:
            add_adapters(model.language_model, lora, self.adapted)
        model.connector.requires_grad_(connector)
        if language:
            model.language_model.requires_grad_(True)
        if tower:
            _unfreeze_tower(model)
        self._no_split_modules = getattr(model.language_model, "_no_split_modules", None)

    def forward(
        self,
        input_ids: Tensor,
        labels: Tensor,
        lengths: Tensor,
        pixels: Tensor,
        current: Tensor,
        prior: Tensor,
        **loss_settings: Any,
    ) -> dict[str, Tensor]:
        """The loss of a batch as `collate` makes it; every image is encoded once."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.tower_learns):
            features = self.model.encode(pixels)
        both = None if torch.equal(current, prior) else features[prior]
        images = self.model.connect(features[current], both)
        sizes = lengths.tolist()
        answer = self.model.read(
            [row[:size] for row, size in zip(input_ids, sizes, strict=True)],
            [row[:size] for row, size in zip(labels, sizes, strict=True)],
            images,
            **loss_settings,
        )
        assert answer.loss is not None
        return {"loss": answer.loss}

    def train(self, mode: bool = True) -> TrainedLibra:
        """As in torch, but for the frozen tower and connector."""
        super().train(mode)
        self.model.vision_tower.train(mode and self.tower_learns)
        self.model.connector.train(mode and (self.connector_learns or self._dropout_stays))
        return self

    def activation_checkpointing_enable(
        self, activation_checkpointing_kwargs: dict[str, Any] | None = None, **settings: Any
    ) -> None:
        """Compute the language model's activations again instead of keeping them.

        Args:
            activation_checkpointing_kwargs, settings: as transformers' models take them.
        """
        # The reentrant form loses gradients where a layer's input needs none.
        chosen = {"use_reentrant": False, **(activation_checkpointing_kwargs or {})}
        model = self.model.language_model
        named = getattr(model, "activation_checkpointing_enable", None)
        (named or model.gradient_checkpointing_enable)(chosen, **settings)

    def gradient_checkpointing_enable(
        self, gradient_checkpointing_kwargs: dict[str, Any] | None = None, **settings: Any
    ) -> None:
        """The same by the name that older releases of transformers call."""
        self.activation_checkpointing_enable(gradient_checkpointing_kwargs, **settings)

    def learned(self) -> int:
        """Parameters that learn."""
        return sum(one.numel() for one in self.parameters() if one.requires_grad)


def linear_layers(language_model: nn.Module) -> list[str]:
    """Last names of all linear layers of a language model but its head; 7 a layer in Llama."""
    head = language_model.get_output_embeddings()  # type: ignore[operator]
    return sorted(
        {
            name.rpartition(".")[2]
            for name, module in language_model.named_modules()
            if isinstance(module, nn.Linear) and module is not head
        }
    )


def add_adapters(language_model: nn.Module, lora: Lora, layers: list[str]) -> None:
    """Put adapters on the linear layers of these last names, in place; the rest is frozen."""
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=layers,
        task_type="CAUSAL_LM",
    )
    inject_adapter_in_model(config, language_model, ADAPTER)
    for name, parameter in language_model.named_parameters():
        parameter.requires_grad_("lora_" in name)


def lora_parameters(language_model: nn.Module, rank: int) -> int:
    """Parameters of adapters of that rank: r·(in + out) a linear layer, the head left out.

    The model may be on the meta device: only shapes are looked at.
    """
    names = set(linear_layers(language_model))
    return sum(
        rank * (module.in_features + module.out_features)
        for name, module in language_model.named_modules()
        if isinstance(module, nn.Linear) and name.rpartition(".")[2] in names
    )


def _unfreeze_tower(model: LibraModel) -> None:
    """Let the tower learn, but for what no loss reaches: it would stop distributed training."""
    encoder = model.vision_tower.encoder
    encoder.requires_grad_(True)
    for name, parameter in encoder.named_parameters():
        if name.endswith("mask_token"):
            parameter.requires_grad_(False)
    if not model.vision_tower.maira_feature_norm:
        # Only hidden states are read, which come before the last normalisation.
        for name in ("layernorm", "post_layernorm"):
            if (norm := getattr(encoder, name, None)) is not None:
                norm.requires_grad_(False)
