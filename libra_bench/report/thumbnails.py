"""Small images for the page, as data URIs."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from libra_bench.core.errors import InputError
from libra_bench.data.images import load_image, resolve_image

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
    try:
        small = load_image(resolve_image(root, name)).convert("L")
    except InputError as error:
        return Thumbnail(role, name, None, str(error))
    small.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    small.save(buffer, format="JPEG", quality=80)
    encoded = base64.b64encode(buffer.getvalue()).decode("ascii")
    return Thumbnail(role, name, f"data:image/jpeg;base64,{encoded}")
