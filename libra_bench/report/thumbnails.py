"""Small images for the page, as data URIs."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

SIDE = 220
"""Longest side in pixels."""


@dataclass(frozen=True)
class Thumbnail:
    """An image of an example, or why there is none."""

    role: str
    """`current` or `prior`."""
    name: str
    uri: str | None
    reason: str = ""


def thumbnails(root: Path | None, names: list[str]) -> list[Thumbnail]:
    """The current image and the prior one where it is another; none where there is no root."""
    if root is None:
        return []
    roles = dict(zip(("current", "prior"), dict.fromkeys(names), strict=False))
    return [thumbnail(root, name, role) for role, name in roles.items()]


def thumbnail(root: Path, name: str, role: str) -> Thumbnail:
    """The image `name` below `root`.

    Only files below the root are opened: a path in an example may come from anywhere.
    """
    from PIL import Image, UnidentifiedImageError

    path = (root / name).resolve()
    if not path.is_relative_to(root.resolve()):
        return Thumbnail(role, name, None, "outside the image root")
    if not path.is_file():
        return Thumbnail(role, name, None, "not on this machine")
    try:
        with Image.open(path) as image:
            small = _eight_bit(image)
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError):
        return Thumbnail(role, name, None, "no thumbnail of this format")
    small.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    small.save(buffer, format="JPEG", quality=80)
    encoded = base64.b64encode(buffer.getvalue()).decode("ascii")
    return Thumbnail(role, name, f"data:image/jpeg;base64,{encoded}")


def _eight_bit(image: Image.Image) -> Image.Image:
    """Grey levels 0-255; Pillow would clip those of a 16-bit radiograph instead."""
    import numpy as np
    from PIL import Image

    if image.mode.startswith(("I", "F")):
        pixels = np.asarray(image, dtype=np.float64)
        pixels -= pixels.min()
        pixels *= 255.0 / max(float(pixels.max()), 1e-12)
        return Image.fromarray(pixels.astype(np.uint8))
    return image.convert("L")
