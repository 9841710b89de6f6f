"""Pixels: how many a radiograph may have, and deep greys to 8 bits in little memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from libra_bench.core.errors import StudyError

LONGEST_SHAPE = 100
"""Times as long as wide: padded or resized, a longer strip would fill the memory."""
_AT_ONCE = 1 << 18
"""Values worked on together: all that is not 8 bits is only made for so many."""

Curve = Callable[[np.ndarray], np.ndarray]


def refuse_size(name: object, width: int, height: int, largest: int) -> None:
    """Refuse what is no radiograph by its size, before anything is unpacked.

    Args:
        name: of the image, for the message.
        largest: pixels of the image, and of the square around it.

    Raises:
        StudyError: no pixels, too many, or a strip.
    """
    size = f"{name}: {width} × {height} pixels"
    if width < 1 or height < 1:
        raise StudyError(f"{size}: there is no image")
    if max(width, height) ** 2 > largest:
        raise StudyError(f"{size} are too many")
    if max(width, height) > LONGEST_SHAPE * min(width, height):
        raise StudyError(f"{size}: a strip is no radiograph")


def to_eight_bits(
    values: np.ndarray, curve: Curve | None = None, *, inverted: bool = False
) -> np.ndarray:
    """Values stretched from 0, the darkest, to 255, the brightest; equal values become 0.

    Costs a byte a value beside `values`. Of types up to 16 bits each grade is worked out once.

    Args:
        values: [h, w] or [h, w, 3], of any real type.
        curve: applied first, to any values on their own: a window or a lookup table.
        inverted: whether small values are bright.

    Raises:
        ValueError: values, before or behind the curve, that are not finite.
    """
    if values.dtype.kind in "iu" and values.dtype.itemsize <= 2:
        return _by_grade(values, curve, inverted)
    parts = list(_parts(values))
    extremes = [_extremes(_floats(part, curve)) for part in parts]
    low, high = min(one for one, _ in extremes), max(one for _, one in extremes)
    found = np.empty(values.shape, np.uint8)
    for part, target in zip(parts, _parts(found), strict=True):
        target[...] = _stretched(_floats(part, curve), low, high, inverted)
    return found


def _by_grade(values: np.ndarray, curve: Curve | None, inverted: bool) -> np.ndarray:
    native = np.ascontiguousarray(values, values.dtype.newbyteorder("="))
    places = native.view(np.uint8 if native.itemsize == 1 else np.uint16)
    occurs = np.zeros(1 << 8 * places.dtype.itemsize, dtype=np.bool_)
    for part in _parts(places):
        occurs[part] = True
    grades = np.flatnonzero(occurs).astype(places.dtype).view(native.dtype)
    levels = _floats(grades, curve)
    table = np.zeros(len(occurs), np.uint8)
    table[occurs] = _stretched(levels, *_extremes(levels), inverted)
    found = np.empty(values.shape, np.uint8)
    for part, target in zip(_parts(places), _parts(found), strict=True):
        target[...] = table[part]
    return found


def _parts(values: np.ndarray) -> Iterator[np.ndarray]:
    """Rows of an image, some at a time."""
    rows = max(1, _AT_ONCE // max(1, values[0].size))
    for start in range(0, len(values), rows):
        yield values[start : start + rows]


def _floats(values: np.ndarray, curve: Curve | None) -> np.ndarray:
    return np.asarray(values if curve is None else curve(values), dtype=np.float64)


def _extremes(levels: np.ndarray) -> tuple[float, float]:
    low, high = float(levels.min()), float(levels.max())
    # What is not a number is the least and the greatest for numpy.
    if not np.isfinite([low, high]).all():
        raise ValueError("values that are not finite")
    return low, high


def _stretched(levels: np.ndarray, low: float, high: float, inverted: bool) -> np.ndarray:
    """Levels to 0-255, rounded down."""
    if high == low:
        return np.zeros(levels.shape, np.uint8)
    distance = high - levels if inverted else levels - low
    return (distance / (high - low) * 255).astype(np.uint8)
