"""Attention to one prompt per study and one tree of answers, without copying either.

A study's prompt, 1,369 image vectors among them, is the same for all its beams: its keys and
values are kept once. So is each token that any beam has chosen, in a slot behind the prompt; which
slots a beam descends from is a mask. When beams go on from others only the mask is reordered, and
all beams of a study attend to prompt and slots in one call of `scaled_dot_product_attention`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AttentionInterface
from transformers.cache_utils import Cache

NAME = "libra_shared_prefix"
ALIGNED = 8
"""Columns come in such multiples, which fused attention wants of a mask."""
TOKENS = 16
"""Tokens of each beam for which there is room at first."""


class Places(Cache):
    """Keys and values of the studies that run side by side, at addresses that stay as they are.

    By layer [places, heads, columns, width], where the columns are those of the prompt and then
    the slots. What lies beyond a study's own prompt, and slots that a beam does not descend from,
    are masked.

    Args:
        places: studies side by side.
        beams: of each study.
        group: query heads that share a key head.
        prompt: positions of the longest prompt to come, its image included.
    """

    def __init__(self, places: int, beams: int, group: int, prompt: int) -> None:
        super().__init__(layers=[])
        self.beams, self.group = beams, group
        self.prompt = _aligned(prompt)
        self.slots = _aligned(TOKENS * beams)
        self.stored: list[tuple[Tensor, Tensor]] = []
        self.lengths = [0] * places
        """Positions of each study, the prompt among them."""
        self.used = [0] * places
        """Slots of each study that are written."""
        self.held = [False] * places
        """Whether a study is in each place; in the others the step writes what nobody reads."""
        self.grown = 0
        """How often addresses have changed."""
        self._visible = self.mask = self.positions = self._columns = torch.empty(0)

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def columns(self) -> int:
        """Columns that there is room for."""
        return self.prompt + self.slots

    def put(self, place: int, layers: Sequence[tuple[Tensor, Tensor]]) -> None:
        """Let a study take a place.

        Args:
            layers: keys and values [1, heads, length, width] of its prompt.
        """
        if not self.stored:
            self._allocate(layers)
        length = layers[0][0].shape[2]
        self.free(place)
        self.lengths[place], self.held[place] = length, True
        self._visible[place, :, :length] = True
        for pair, own in zip(layers, self.stored, strict=True):
            for new, tensor in zip(pair, own, strict=True):
                tensor[place, :, :length] = new[0]

    def free(self, place: int) -> None:
        """Forget the study in a place."""
        self.lengths[place], self.used[place], self.held[place] = 0, 0, False
        self._visible[place] = False

    def keep(self, places: Sequence[int]) -> None:
        """Take all other places away; those behind them move up."""
        kept = list(places)
        self.lengths = [self.lengths[place] for place in kept]
        self.used = [self.used[place] for place in kept]
        self.held = [self.held[place] for place in kept]
        self._visible = self._visible[kept]
        for layer, (keys, values) in enumerate(self.stored):
            self.stored[layer] = (keys[kept], values[kept])
        self._lay_out()

    def begin(self) -> None:
        """Make room for one more token of every beam, and say what each may attend to."""
        if max(self.used) + self.beams > self.slots:
            self._make_room()
        device = self._visible.device
        slots = torch.tensor(self.used, device=device)[:, None] + self.prompt
        slots = slots + torch.arange(self.beams, device=device)
        self._visible.scatter_(2, slots.unsqueeze(2), True)
        # In place: a captured graph reads these addresses.
        self._columns.copy_(slots)
        lengths = torch.tensor(self.lengths, device=device)
        self.positions.copy_(lengths.repeat_interleave(self.beams).unsqueeze(1))
        hidden = ~self._visible.repeat_interleave(self.group, dim=1).unsqueeze(1)
        self.mask.zero_().masked_fill_(hidden, -torch.inf)
        for place, held in enumerate(self.held):
            self.lengths[place] += held
            self.used[place] += self.beams * held

    def reorder(self, places: Sequence[int], origins: Tensor) -> None:
        """Let beams of some places go on from others: `origins` [len(places), beams]."""
        rows = list(places)
        index = origins.unsqueeze(2).expand(-1, -1, self.columns)
        self._visible[rows] = self._visible[rows].gather(1, index)

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Write a layer's new keys and values [places · beams, heads, 1, width]; all it holds."""
        rows = torch.arange(len(self), device=key_states.device)[:, None]
        for new, tensor in zip((key_states, value_states), self.stored[layer_idx], strict=True):
            own = new.squeeze(2).unflatten(0, (len(self), self.beams))
            tensor[rows, :, self._columns] = own
        return self.stored[layer_idx]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Positions are given to the model; nothing is derived from this."""
        return self.prompt

    def _allocate(self, layers: Sequence[tuple[Tensor, Tensor]]) -> None:
        for pair in layers:
            made = []
            for tensor in pair:
                _, heads, _, width = tensor.shape
                made.append(tensor.new_zeros(len(self), heads, self.columns, width))
            self.stored.append((made[0], made[1]))
        device = layers[0][0].device
        shape = (len(self), self.beams, self.columns)
        self._visible = torch.zeros(shape, dtype=torch.bool, device=device)
        self._lay_out()

    def _lay_out(self) -> None:
        """Tensors that every step fills anew, for the places and columns that there are."""
        keys = self.stored[0][0]
        rows = self.beams * self.group
        self.mask = keys.new_zeros(len(self), 1, rows, self.columns)
        self.positions = self._visible.new_zeros(len(self) * self.beams, 1, dtype=torch.long)
        self._columns = self._visible.new_zeros(len(self), self.beams, dtype=torch.long)
        self.grown += 1

    def _make_room(self) -> None:
        """Forget the slots that no beam descends from; where most are needed, add some."""
        visible = self._visible[:, :, self.prompt :]
        live = visible.any(dim=1)
        order = (~live).to(torch.uint8).argsort(dim=1, stable=True)
        self._visible[:, :, self.prompt :] = visible.gather(
            2, order.unsqueeze(1).expand(-1, self.beams, -1)
        )
        for pair in self.stored:
            for tensor in pair:
                index = order[:, None, :, None].expand(-1, tensor.shape[1], -1, tensor.shape[3])
                tensor[:, :, self.prompt :] = tensor[:, :, self.prompt :].gather(2, index)
        self.used = [
            used if held else 0
            for used, held in zip(live.sum(dim=1).tolist(), self.held, strict=True)
        ]
        if 3 * max(self.used) > 2 * self.slots:
            more = _aligned(self.slots // 2)
            self._visible = _widened(self._visible, more)
            for layer, (keys, values) in enumerate(self.stored):
                self.stored[layer] = (_widened(keys, more), _widened(values, more))
            self.slots += more
            self._lay_out()


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
    """One softmax over a study's prompt and the slots that a beam descends from.

    Args:
        query: [places · beams, query heads, 1, width].
        key, value: [places, key heads, columns, width].

    Returns:
        [places · beams, 1, query heads, width], and no weights.
    """
    rows, heads, _, width = query.shape
    count, shared = key.shape[:2]
    group = heads // shared
    # All beams of a study, and all query heads that share a key head, are rows of one product.
    split = query.reshape(count, places.beams, shared, group, width)
    stacked = split.transpose(1, 2).reshape(count, shared, places.beams * group, width)
    attended = functional.scaled_dot_product_attention(
        stacked, key, value, attn_mask=places.mask, scale=scaling
    )
    attended = attended.reshape(count, shared, places.beams, group, width).transpose(1, 2)
    return attended.reshape(rows, 1, heads, width), None


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


def _aligned(number: int) -> int:
    return -(-number // ALIGNED) * ALIGNED


def _widened(tensor: Tensor, more: int) -> Tensor:
    """A copy with `more` empty columns; the third dimension is that of the columns."""
    room = tensor.new_zeros(*tensor.shape[:2], more, *tensor.shape[3:])
    return torch.cat([tensor, room], dim=2)
