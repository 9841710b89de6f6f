"""Vision towers: any vision encoder of transformers, and which of its states are used."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from libra_bench.core.errors import InputError
from libra_bench.model.configuration import LibraConfig

WITHOUT_CLASS = ("siglip_vision_model", "siglip2_vision_model")
"""Encoders that have patches only, no class token before them."""


class VisionTower(nn.Module):
    """A vision encoder and the choice of its hidden states.

    Args:
        encoder: DINOv2, CLIP, SigLIP … as transformers builds it.
        config: says which layer and which positions.
    """

    def __init__(self, encoder: nn.Module, config: LibraConfig) -> None:
        super().__init__()
        self.encoder: Any = encoder
        self.select_layer = config.select_layer
        self.maira_feature_norm = config.maira_feature_norm
        if config.select_feature not in ("patch", "cls_patch"):
            raise InputError(
                f"mm_vision_select_feature {config.select_feature!r}: patch or cls_patch expected"
            )
        settings: Any = self.encoder.config
        states = int(settings.num_hidden_layers) + 1
        layer = config.select_layer
        if layer != "all" and not -states <= int(layer) < states:
            raise InputError(
                f"mm_vision_select_layer {layer}: the vision tower has {states} hidden states"
            )
        # The published code drops the first position whatever it holds: SigLIP, which has no
        # class token, loses its first patch there as well.
        self.skip = 1 if config.select_feature == "patch" else 0

    @property
    def layers(self) -> int:
        """How many layers `forward` gives."""
        return int(self.encoder.config.num_hidden_layers) if self.select_layer == "all" else 1

    @property
    def width(self) -> int:
        """Width of each position."""
        return int(self.encoder.config.hidden_size)

    @property
    def positions(self) -> int:
        """Vectors that an image becomes."""
        config = self.encoder.config
        classes = 0 if config.model_type in WITHOUT_CLASS else 1
        return int((config.image_size // config.patch_size) ** 2 + classes - self.skip)

    def forward(self, pixels: Tensor) -> Tensor:
        """[n, 3, height, width] pixels; [n, layers, positions, width] features."""
        states = self.encoder(pixels, output_hidden_states=True)
        if self.select_layer == "all":
            chosen = states.hidden_states[1:]
        elif self.maira_feature_norm:
            # MAIRA-2 reads the backbone's normalised last state.
            chosen = (states.last_hidden_state,)
        else:
            chosen = (states.hidden_states[int(self.select_layer)],)
        return torch.stack([state[:, self.skip :] for state in chosen], dim=1)
