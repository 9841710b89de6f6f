"""From images to the pixel values a vision tower was trained on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from libra_bench.core.errors import InputError
from libra_bench.core.files import read_json
from libra_bench.model import open_clip

Padding = Literal["mean", "black", "none"]
"""Colour of the square's empty part. The published code differs from itself: the encoder's mean
colour at inference (`mean`), black in training (`black`). `none`: the image is not padded."""

LARGEST = 1 << 14
"""Pixels along an edge; more is no tower's input but a damaged file."""


@dataclass(frozen=True)
class ImageProcessor:
    """A tower's preprocessing, read from its `preprocessor_config.json`.

    Attributes:
        size: shortest edge, or (height, width) exactly.
        crop: (height, width) of the centre crop, or None.
        mean, std: by channel, on 0-1.
        rounded: whether the crop's edges are rounded, as torchvision has them, or floored.
        stretched: whether images are made grey and stretched to the full range first (MAIRA-2).
    """

    size: int | tuple[int, int]
    crop: tuple[int, int] | None
    resample: Image.Resampling
    rescale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    rounded: bool = False
    stretched: bool = False

    @classmethod
    def read(cls, folder: Path) -> ImageProcessor:
        """The preprocessing of the tower in `folder`.

        Raises:
            InputError: no such file, or fields of another form.
        """
        plain = not open_clip.is_open_clip(folder)
        path = folder / "preprocessor_config.json" if plain else folder
        raw = read_json(path) if plain else open_clip.preprocessing(folder)
        try:
            return cls.parse(raw)._checked()
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: not an image preprocessing ({error!r})") from None

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> ImageProcessor:
        """The preprocessing from its JSON object."""
        return cls(
            size=_size(raw["size"]),
            crop=_pair(raw["crop_size"]) if raw.get("do_center_crop") else None,
            resample=Image.Resampling(raw.get("resample", Image.Resampling.BICUBIC)),
            rescale=float(raw.get("rescale_factor", 1 / 255)),
            mean=tuple(raw["image_mean"]) if raw.get("do_normalize", True) else (0.0,) * 3,
            std=tuple(raw["image_std"]) if raw.get("do_normalize", True) else (1.0,) * 3,
            rounded=raw.get("crop_edge") == "rounded",
        )

    @property
    def side(self) -> int:
        """Height and width of what the tower gets; the shortest edge where nothing is cropped."""
        return min(self.crop or (self.size if isinstance(self.size, tuple) else (self.size,)))

    def __call__(self, image: Image.Image, padding: Padding) -> Tensor:
        """An RGB image as float32 pixel values [3, height, width]."""
        if self.stretched:
            image = _stretched(image)
        if padding != "none":
            image = pad_to_square(image, self._colour(padding))
        image = image.resize(self._target(image), self.resample)
        if self.crop is not None:
            image = _centre_crop(image, self.crop, rounded=self.rounded)
        values = np.asarray(image, dtype=np.float32) * np.float32(self.rescale)
        mean, std = (np.asarray(row, dtype=np.float32) for row in (self.mean, self.std))
        values = (values - mean) / std
        return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))

    def _checked(self) -> ImageProcessor:
        """Itself.

        Raises:
            ValueError: numbers that no image can be made with.
        """
        sizes = [self.size] if isinstance(self.size, int) else list(self.size)
        if min(sizes + list(self.crop or ())) < 1 or max(sizes) > LARGEST:
            raise ValueError(f"sizes must lie between 1 and {LARGEST}")
        numbers = (self.rescale, *self.mean, *self.std)
        if not all(isinstance(one, int | float) and math.isfinite(one) for one in numbers):
            raise ValueError("mean, std and rescale_factor must be finite numbers")
        if len(self.mean) != 3 or len(self.std) != 3 or 0 in self.std:
            raise ValueError("mean and std need three numbers, and no std may be 0")
        return self

    def _colour(self, padding: Padding) -> tuple[int, ...]:
        if padding == "black":
            return (0, 0, 0)
        return tuple(int(channel * 255) for channel in self.mean)

    def _target(self, image: Image.Image) -> tuple[int, int]:
        """(width, height) after resizing."""
        if isinstance(self.size, tuple):
            return self.size[1], self.size[0]
        short, long = sorted(image.size)
        # Truncated, not rounded, as transformers does.
        other = int(self.size * long / short)
        return (self.size, other) if image.width <= image.height else (other, self.size)


def pad_to_square(image: Image.Image, colour: tuple[int, ...]) -> Image.Image:
    """The image in the middle of the smallest square around it."""
    width, height = image.size
    if width == height:
        return image
    side = max(width, height)
    square = Image.new(image.mode, (side, side), colour)
    square.paste(image, ((side - width) // 2, (side - height) // 2))
    return square


def _stretched(image: Image.Image) -> Image.Image:
    """Grey values from 0 to 255 in three channels; an image of one grey is black."""
    grey = np.asarray(image.convert("L")).astype(float)
    grey -= grey.min()
    if grey.max() > 0:
        grey = grey / grey.max() * 255
    return Image.fromarray(grey.astype(np.uint8)).convert("RGB")


def _centre_crop(image: Image.Image, size: tuple[int, int], *, rounded: bool) -> Image.Image:
    height, width = size
    spare = image.width - width, image.height - height
    left, top = (round(one / 2) if rounded else one // 2 for one in spare)
    # Where the image is smaller than the crop Pillow fills with black, as transformers pads.
    return image.crop((left, top, left + width, top + height))


def _size(raw: Any) -> int | tuple[int, int]:
    if isinstance(raw, Mapping) and "shortest_edge" in raw:
        return int(raw["shortest_edge"])
    return _pair(raw) if isinstance(raw, Mapping) else int(raw)


def _pair(raw: Any) -> tuple[int, int]:
    if isinstance(raw, Mapping):
        return int(raw["height"]), int(raw["width"])
    return int(raw), int(raw)
