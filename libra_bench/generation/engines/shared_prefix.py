"""Attention to one prefix per study and one suffix per beam, without copying the prefix.

A study's prompt, 1,369 image vectors among them, is the same for all its beams: its keys and
values are kept once, and all beams attend to them in one matrix product. Only the few tokens that
each beam has added are kept by beam, and reordered when beams are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface
from transformers.cache_utils import Cache

NAME = "libra_shared_prefix"
BLOCK = 64
"""Suffixes grow by so many tokens at a time."""


class Places(Cache):
    """Keys and values of the studies that run side by side.

    Prefixes are [places, heads, prefix, width] by layer, suffixes [places, beams, heads, suffix,
    width]; what lies beyond a study's own lengths is masked.

    Args:
        prefix_length: of the longest prompt to come, its image included.
        beams: of each study.
    """

    def __init__(self, prefix_length: int, beams: int) -> None:
        super().__init__(layers=[])
        self.prefix_length, self.beams = prefix_length, beams
        self.prefix: list[tuple[Tensor, Tensor]] = []
        self.suffix: list[tuple[Tensor, Tensor]] = []
        self.prefix_lengths: list[int] = []
        self.suffix_lengths: list[int] = []
        self._prefix_mask = self._suffix_mask = self._written = torch.empty(0)

    def __len__(self) -> int:
        return len(self.prefix_lengths)

    def put(self, place: int, layers: list[tuple[Tensor, Tensor]]) -> None:
        """Let a study take a place: an old one that is free, or the next new one.

        Args:
            layers: keys and values [1, heads, length, width] of its prompt.
        """
        length = layers[0][0].shape[2]
        if place == len(self):
            self.prefix_lengths.append(length)
            self.suffix_lengths.append(0)
            self._widen(layers)
        self.prefix_lengths[place], self.suffix_lengths[place] = length, 0
        for (keys, values), (own_keys, own_values) in zip(layers, self.prefix, strict=True):
            own_keys[place, :, :length] = keys[0]
            own_values[place, :, :length] = values[0]

    def drop(self, places: list[int]) -> None:
        """Take places away; those behind them move up."""
        kept = [place for place in range(len(self)) if place not in places]
        self.prefix_lengths = [self.prefix_lengths[place] for place in kept]
        self.suffix_lengths = [self.suffix_lengths[place] for place in kept]
        self.prefix = [(keys[kept], values[kept]) for keys, values in self.prefix]
        self.suffix = [(keys[kept], values[kept]) for keys, values in self.suffix]

    def begin(self, device: torch.device) -> Tensor:
        """Make room for one more token everywhere; its positions [places · beams, 1]."""
        prefix = torch.tensor(self.prefix_lengths, device=device)
        self._written = torch.tensor(self.suffix_lengths, device=device)
        self.suffix_lengths = [length + 1 for length in self.suffix_lengths]
        while self.suffix[0][0].shape[3] < max(self.suffix_lengths):
            self.suffix = [(_longer(keys), _longer(values)) for keys, values in self.suffix]
        columns = torch.arange(self.prefix_length, device=device)
        self._prefix_mask = _mask(columns < prefix[:, None])
        columns = torch.arange(max(self.suffix_lengths), device=device)
        self._suffix_mask = _mask(columns <= self._written[:, None])
        return (prefix + self._written).repeat_interleave(self.beams).unsqueeze(1)

    def reorder(self, origins: Tensor) -> None:
        """Let beams go on from others: `origins` [places, beams]; prefixes stay where they are."""
        if bool((origins == torch.arange(self.beams, device=origins.device)).all()):
            return
        rows = torch.arange(len(self), device=origins.device)[:, None]
        used = max(self.suffix_lengths)
        for pair in self.suffix:
            for tensor in pair:
                tensor[:, :, :, :used] = tensor[:, :, :, :used][rows, origins]

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Write a layer's new keys and values [places · beams, heads, 1, width]; its suffixes."""
        places = torch.arange(len(self), device=key_states.device)
        shown = []
        for new, tensor in zip((key_states, value_states), self.suffix[layer_idx], strict=True):
            own = new.unflatten(0, (len(self), self.beams)).squeeze(3)
            tensor[places, :, :, self._written] = own
            shown.append(tensor[:, :, :, : max(self.suffix_lengths)].flatten(0, 1))
        return shown[0], shown[1]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Positions are given to the model; nothing is derived from this."""
        return self.prefix_length

    def masks(self) -> tuple[Tensor, Tensor]:
        """What may be attended to: 0 or minus infinity, [places, 1, 1, prefix or suffix]."""
        return self._prefix_mask, self._suffix_mask

    def _widen(self, layers: list[tuple[Tensor, Tensor]]) -> None:
        for layer, (keys, _) in enumerate(layers):
            _, heads, _, width = keys.shape
            room = keys.new_zeros(1, heads, self.prefix_length, width)
            capacity = self.suffix[layer][0].shape[3] if layer < len(self.suffix) else BLOCK
            tail = keys.new_zeros(1, self.beams, heads, capacity, width)
            if layer == len(self.prefix):
                self.prefix.append((room, room.clone()))
                self.suffix.append((tail, tail.clone()))
            else:
                self.prefix[layer] = _joined(self.prefix[layer], room)
                self.suffix[layer] = _joined(self.suffix[layer], tail)


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    places: Places,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """One softmax over a study's prefix and a beam's suffix.

    Args:
        query: [places · beams, query heads, 1, width].
        key, value: suffixes [places · beams, key heads, suffix, width].

    Returns:
        [places · beams, 1, query heads, width], and no weights.
    """
    rows, heads, _, width = query.shape
    count, shared = len(places), key.shape[1]
    group = heads // shared
    prefix_keys, prefix_values = places.prefix[module.layer_idx]
    prefix_mask, suffix_mask = places.masks()
    # All beams of a study, and all query heads that share a key head, are rows of one product.
    split = query.reshape(count, places.beams, shared, group, width) * scaling
    stacked = split.transpose(1, 2).reshape(count, shared, places.beams * group, width)
    to_prefix = stacked @ prefix_keys.transpose(2, 3)
    to_suffix = split.reshape(rows, shared, group, width) @ key.transpose(2, 3)
    to_suffix = to_suffix.reshape(count, places.beams, shared, group, -1).transpose(1, 2)
    to_suffix = to_suffix.reshape(count, shared, places.beams * group, -1)
    scores = torch.cat([to_prefix + prefix_mask, to_suffix + suffix_mask], dim=-1)
    weights = scores.softmax(dim=-1, dtype=torch.float32).to(query.dtype)
    length = prefix_keys.shape[2]
    from_prefix = weights[..., :length] @ prefix_values
    own = weights[..., length:].reshape(count, shared, places.beams, group, -1).transpose(1, 2)
    from_suffix = own.reshape(rows, shared, group, -1) @ value
    together = from_prefix.reshape(count, shared, places.beams, group, width).transpose(1, 2)
    together = together.reshape(rows, shared, group, width) + from_suffix
    return together.reshape(rows, 1, heads, width), None


AttentionInterface.register(NAME, attend)


@contextmanager
def shared_prefix_attention(config: Any) -> Iterator[None]:
    """Let a language model attend through `attend` for a while."""
    before = config._attn_implementation
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = before


def _mask(visible: Tensor) -> Tensor:
    hidden = torch.zeros(visible.shape, device=visible.device).masked_fill(~visible, -torch.inf)
    return hidden[:, None, None, :]


def _longer(tensor: Tensor) -> Tensor:
    room = tensor.new_zeros(*tensor.shape[:3], BLOCK, tensor.shape[4])
    return torch.cat([tensor, room], dim=3)


def _joined(pair: tuple[Tensor, Tensor], row: Tensor) -> tuple[Tensor, Tensor]:
    return torch.cat([pair[0], row]), torch.cat([pair[1], row])
