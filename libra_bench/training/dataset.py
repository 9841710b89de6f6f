"""From conversations to batches: images read late, by workers, and what cannot be used counted."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from libra_bench.core.errors import InputError, Notice, StudyError, costs_a_study
from libra_bench.core.files import listing
from libra_bench.data.images import NOTICE, load_image, resolve_image
from libra_bench.model.configuration import IMAGE_TOKEN
from libra_bench.model.conversation import IMAGE_TAG
from libra_bench.model.libra import IGNORED
from libra_bench.model.loading import START_END_TAG, LoadedModel
from libra_bench.model.processor import Padding
from libra_bench.model.supervision import supervised
from libra_bench.training.conversations import TrainingConversation

UNREADABLE_IN_A_ROW = 100
"""So many conversations without a readable image, one after the other, are no accident."""


@dataclass(frozen=True)
class Item:
    """One conversation, ready: ids and labels [L], one or two images [3, height, width].

    Attributes:
        skipped: conversations passed over because their images could not be read.
    """

    input_ids: Tensor
    labels: Tensor
    images: tuple[Tensor, ...]
    skipped: int = 0


class ConversationDataset(Dataset[Item]):
    """Conversations as a model learns from them.

    A conversation longer than the model's context, or without a token to learn, is left out and
    named in `refused`. One whose image cannot be read when its turn comes is replaced by the next
    one that can, always the same, so that a resumed run sees what an unbroken one saw.

    Args:
        conversations: what to learn from.
        loaded: the model whose tokenizer, processor and conversation mode are used.
        image_root: the folder below which every image must lie.
        max_length: positions, the image's included.
        padding: colour of the squares' empty part; `none` where the checkpoint does not pad.
        as_published: keep what is too long, cut at `max_length` ids (the image counts as one), and
            what nothing is learned from, with the published trainer's masks.
        on_progress: hears how many conversations were measured.

    Raises:
        InputError: nothing is left to learn from.
    """

    def __init__(
        self,
        conversations: Sequence[TrainingConversation],
        loaded: LoadedModel,
        image_root: Path,
        *,
        max_length: int,
        padding: Padding = "black",
        as_published: bool = False,
        on_progress: Callable[[int], None] = lambda done: None,
    ) -> None:
        self._tokenizer, self._mode = loaded.tokenizer, loaded.conversation
        self._processor, self._root = loaded.processor, image_root
        self._tag = START_END_TAG if loaded.config.use_im_start_end else IMAGE_TAG
        self._padding: Padding = padding if loaded.config.pad else "none"
        positions = loaded.model.vision_tower.positions
        longest = min(max_length, loaded.config.context_length)
        self._max_length, self._as_published = max_length, as_published
        self.conversations: list[TrainingConversation] = []
        self.lengths: list[int] = []
        """Positions of each conversation, the image's included."""
        self.refused: list[str] = []
        for done, one in enumerate(conversations, start=1):
            on_progress(done)
            try:
                ids, labels = self._encode(one)
            except StudyError as error:
                self.refused.append(f"id {one.id!r}: {error}")
                continue
            length = len(ids) - 1 + positions
            if as_published:
                if IMAGE_TOKEN in ids:
                    self._take(one, length)
                else:
                    self.refused.append(f"id {one.id!r}: its image would be cut off")
            elif length > longest:
                self.refused.append(f"id {one.id!r}: {length} positions, {longest} is the limit")
            elif not any(answer.strip() for _, answer in one.turns) or not _learns(labels):
                self.refused.append(f"id {one.id!r}: no answer to learn from")
            else:
                self._take(one, length)
        if not self.conversations:
            raise InputError("no conversation can be learned from: " + listing(self.refused))
        require_an_image(self.conversations, image_root)

    def __len__(self) -> int:
        return len(self.conversations)

    def __getitem__(self, place: int) -> Item:
        faults: list[str] = []
        for step in range(min(UNREADABLE_IN_A_ROW, len(self))):
            one = self.conversations[(place + step) % len(self)]
            try:
                images = tuple(self._pixels(name, one) for name in dict.fromkeys(one.images))
            except InputError as error:
                faults.append(f"id {one.id!r}: {error}")
                warnings.warn(f"skipped {faults[-1]}", stacklevel=2)
                continue
            return Item(*self._encode(one), images, skipped=step)
        raise InputError(f"{len(faults)} conversations in a row have no image: {listing(faults)}")

    def _take(self, one: TrainingConversation, length: int) -> None:
        self.conversations.append(one)
        self.lengths.append(length)

    def _encode(self, one: TrainingConversation) -> tuple[Tensor, Tensor]:
        question, answer = one.turns[0]
        try:
            ids, labels = supervised(
                question,
                answer,
                self._mode,
                self._tokenizer,
                later=one.turns[1:],
                image_tag=self._tag,
                max_length=self._max_length,
                as_published=self._as_published,
            )
        except StudyError:
            raise
        except InputError as error:
            raise InputError(f"id {one.id!r}: {error}") from None
        end = self._max_length if self._as_published else len(ids)
        return ids[:end], labels[:end]

    def _pixels(self, name: str, one: TrainingConversation) -> Tensor:
        image = load_image(resolve_image(self._root, name))
        if NOTICE in image.info:
            warnings.warn(f"id {one.id!r}: {name}: {image.info[NOTICE]}", Notice, stacklevel=3)
        with costs_a_study(f"{name}: cannot be made pixel values"):
            pixels = self._processor(image, self._padding)
        if not pixels.isfinite().all():
            raise StudyError(f"{name}: its pixel values are not finite")
        return pixels


def require_an_image(conversations: Sequence[TrainingConversation], image_root: Path) -> None:
    """Refuse an image root below which none of the images lies.

    Raises:
        InputError: there is no such folder, or no conversation has its images there.
    """
    if not image_root.is_dir():
        raise InputError(f"image root {image_root}: no such folder")
    first = None
    for one in conversations:
        try:
            for name in one.images:
                resolve_image(image_root, name)
            return
        except InputError as error:
            first = first or f"id {one.id!r}: {error}"
    raise InputError(
        f"image root {image_root}: none of the {len(conversations)} conversations has its images "
        f"there ({first})"
    )


def _learns(labels: Tensor) -> bool:
    # The first label is predicted from nothing.
    return bool((labels[1:] != IGNORED).any())


def collate(items: Sequence[Item]) -> dict[str, Any]:
    """A batch of n conversations with m distinct images.

    Returns:
        `input_ids`, `labels` [n, L], padded with 0 and -100; `lengths` [n]; `pixels`
        [m, 3, height, width]; `current`, `prior` [n], places in `pixels`, where a missing prior
        is the current image; `skipped`, a count.
    """
    pixels: list[Tensor] = []
    current, prior = [], []
    for item in items:
        current.append(len(pixels))
        pixels.extend(item.images)
        prior.append(len(pixels) - 1)
    pad = torch.nn.utils.rnn.pad_sequence
    return {
        "input_ids": pad([item.input_ids for item in items], batch_first=True),
        "labels": pad([one.labels for one in items], batch_first=True, padding_value=IGNORED),
        "lengths": torch.tensor([len(item.input_ids) for item in items]),
        "pixels": torch.stack(pixels),
        "current": torch.tensor(current),
        "prior": torch.tensor(prior),
        "skipped": torch.tensor(sum(item.skipped for item in items)),
    }
