"""Libra: images of now and before, a prompt, and a language model that goes on from there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import CausalLMOutputWithPast

from libra_bench.core.errors import InputError
from libra_bench.model.configuration import IMAGE_TOKEN, LibraConfig
from libra_bench.model.connector import build_connector
from libra_bench.model.tower import VisionTower

IGNORED = -100


class LibraModel(nn.Module):
    """Vision tower, connector, and any causal language model of transformers.

    Args:
        config: the checkpoint's configuration.
        encoder: the vision encoder.
        language_model: the causal language model.
    """

    def __init__(self, config: LibraConfig, encoder: nn.Module, language_model: nn.Module) -> None:
        super().__init__()
        self.config = config
        self.vision_tower = VisionTower(encoder, config)
        if self.vision_tower.width != config.mm_hidden_size:
            raise InputError(
                f"the vision tower is {self.vision_tower.width} wide, the checkpoint expects "
                f"mm_hidden_size {config.mm_hidden_size}; another --vision-tower is needed"
            )
        language = config.language
        self.connector = build_connector(
            config.projector_type,
            self.vision_tower.layers,
            config.mm_hidden_size,
            language.hidden_size,
            language.num_attention_heads,
        )
        self.language_model: Any = language_model

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.language_model.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Its floating-point type."""
        return next(self.language_model.parameters()).dtype

    def encode(self, pixels: Tensor) -> Tensor:
        """Images [n, 3, height, width] to features [n, layers, patches, width]."""
        return self.vision_tower(pixels.to(self.device, self.dtype))

    def connect(self, current: Tensor, prior: Tensor | None) -> Tensor:
        """Features of now and before to [n, patches, hidden]; no prior: the current stands in."""
        return self.connector(current, prior)

    def look(self, current: Tensor, prior: Tensor | None, lateral: Tensor | None = None) -> Tensor:
        """What is seen of studies' images [n, 3, height, width]: [n, vectors, hidden].

        Libra's connector makes one image's vectors of both; in MAIRA-2's own form each image has
        its own: the current one, the lateral one, the prior one, as far as they are given.
        """
        if not self.config.is_own_form:
            return self.connect(self.encode(current), None if prior is None else self.encode(prior))
        given = [one for one in (current, lateral, prior) if one is not None]
        return torch.cat([self.connect(self.encode(one), None) for one in given], dim=1)

    def length_of(self, prompt_ids: Tensor) -> int:
        """Positions that a prompt takes with its images in their places."""
        if self.config.is_own_form:
            return len(prompt_ids)
        return len(prompt_ids) - 1 + self.vision_tower.positions

    def embed(self, prompt_ids: Tensor, image: Tensor) -> Tensor:
        """Vectors [L', hidden] of a prompt [L] with the image's [patches, hidden] in its place.

        Raises:
            InputError: not exactly one image token, or another number of places than of vectors.
        """
        table = self.language_model.get_input_embeddings()
        # Gemma's table scales what it looks up; the published code scaled the image as well.
        image = image * getattr(table, "embed_scale", 1.0)
        if self.config.image_token is not None:
            return self._filled(prompt_ids.to(self.device), image)
        places = (prompt_ids == IMAGE_TOKEN).nonzero().flatten()
        if len(places) != 1:
            raise InputError(f"{len(places)} image tokens in the prompt, one expected")
        place = int(places[0])
        ids = prompt_ids.to(self.device)
        return torch.cat([table(ids[:place]), image, table(ids[place + 1 :])])

    def _filled(self, ids: Tensor, image: Tensor) -> Tensor:
        """Vectors of a prompt that has a place for each of the image's."""
        places = torch.eq(ids, torch.tensor(self.config.image_token, device=ids.device))
        if int(places.sum()) != len(image):
            raise InputError(
                f"{int(places.sum())} places for vectors of images in the prompt, "
                f"{len(image)} vectors"
            )
        rows = self.language_model.get_input_embeddings()(ids)
        return rows.masked_scatter(places.unsqueeze(-1), image.to(rows.dtype))

    def forward(
        self,
        input_ids: Sequence[Tensor],
        labels: Sequence[Tensor] | None,
        current: Tensor,
        prior: Tensor | None,
    ) -> CausalLMOutputWithPast:
        """Logits, and the loss where labels are given.

        Args:
            input_ids: n sequences, each with one image token.
            labels: the same lengths, -100 where nothing is learned.
            current, prior: images [n, 3, height, width].
        """
        return self.read(input_ids, labels, self.look(current, prior))

    def read(
        self,
        input_ids: Sequence[Tensor],
        labels: Sequence[Tensor] | None,
        images: Tensor,
        **loss_settings: Any,
    ) -> CausalLMOutputWithPast:
        """As `forward`, with the images' vectors [n, patches, hidden] already made.

        Args:
            loss_settings: `num_items_in_batch`, the tokens to average over where they are not
                all in this call.
        """
        rows = [self.embed(ids, image) for ids, image in zip(input_ids, images, strict=True)]
        length = max(len(row) for row in rows)
        embeds = torch.stack([_padded(row, length, 0.0) for row in rows])
        mask = torch.stack([_padded(torch.ones(len(row)), length, 0.0) for row in rows])
        targets = None
        if labels is not None:
            spread = [
                _spread(ids, wanted, images.shape[1])
                for ids, wanted in zip(input_ids, labels, strict=True)
            ]
            targets = torch.stack([_padded(row, length, IGNORED) for row in spread])
            targets = targets.to(self.device)
        return self.language_model(
            inputs_embeds=embeds,
            attention_mask=mask.long().to(self.device),
            labels=targets,
            **loss_settings,
        )


def _padded(row: Tensor, length: int, value: float) -> Tensor:
    filling = row.new_full((length - len(row), *row.shape[1:]), value)
    return torch.cat([row, filling])


def _spread(ids: Tensor, labels: Tensor, patches: int) -> Tensor:
    """Labels with the image token's place made as long as the image."""
    place = int((ids == IMAGE_TOKEN).nonzero()[0])
    return torch.cat([labels[:place], labels.new_full((patches,), IGNORED), labels[place + 1 :]])
