"""Reading radiographs: JPG, PNG of 8 and 16 bits, DICOM."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from libra_bench.core.errors import InputError
from libra_bench.data import packed

LARGEST = 150_000_000
"""Pixels; the largest plain radiographs have about 20 million."""


def resolve_image(root: Path, relative: str) -> Path:
    """The file that an example names, below the image root.

    Raises:
        InputError: it lies outside the root, or is not there.
    """
    base = root.resolve()
    path = (base / relative).resolve()
    if not path.is_relative_to(base):
        raise InputError(f"image {relative!r} leaves the image root {root}")
    found = path if path.is_file() else packed.unpack(root, relative)
    if found is None:
        raise InputError(f"image {relative!r} is not in {root}")
    return found


def load_image(path: Path) -> Image.Image:
    """A radiograph as RGB.

    Colour modes of 8 bits are converted as Pillow does. Deeper greys (16-bit PNG, DICOM) are
    stretched from their darkest to their brightest value; DICOM goes through its VOI LUT and,
    where small values are bright (MONOCHROME1), is inverted first, as the published code does.
    An orientation in the EXIF header is applied.

    Raises:
        InputError: the file is missing, broken, not an image, or too large to be a radiograph.
    """
    try:
        if path.suffix.lower() in (".dcm", ".dicom"):
            return _load_dicom(path)
        with Image.open(path) as opened:
            if opened.width * opened.height > LARGEST:
                raise InputError(f"{path}: {opened.width} × {opened.height} pixels are too many")
            image = ImageOps.exif_transpose(opened)
            if image.mode.startswith(("I", "F")):
                return _from_grey(np.asarray(image, dtype=np.float64))
            return image.convert("RGB")
    except UnidentifiedImageError:
        raise InputError(f"{path}: not an image that can be read") from None
    except Image.DecompressionBombError:
        raise InputError(f"{path}: too many pixels for a radiograph") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as an image ({error})") from None


def _load_dicom(path: Path) -> Image.Image:
    import pydicom
    from pydicom.errors import InvalidDicomError
    from pydicom.pixels import apply_color_lut, apply_voi_lut

    try:
        data = pydicom.dcmread(path)
        if "PixelData" not in data:
            raise InputError(f"{path}: a DICOM file without an image")
        pixels = data.pixel_array
    except InvalidDicomError:
        raise InputError(f"{path}: not a DICOM file") from None
    except (AttributeError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{path}: its pixels cannot be read ({error})") from None
    if pixels.size > LARGEST:
        raise InputError(f"{path}: too many pixels for a radiograph")
    kind = data.get("PhotometricInterpretation", "MONOCHROME2")
    if kind == "PALETTE COLOR":
        pixels = apply_color_lut(pixels, data)
    elif kind.startswith("MONOCHROME"):
        pixels = apply_voi_lut(pixels, data)
    values = np.asarray(pixels, dtype=np.float64)
    return _from_grey(values.max() - values if kind == "MONOCHROME1" else values)


def _from_grey(values: np.ndarray) -> Image.Image:
    """Values [h, w] or [h, w, 3] stretched to 0-255; an even image is black."""
    values = values - values.min()
    brightest = values.max()
    scaled = values / brightest * 255 if brightest > 0 else values
    return Image.fromarray(scaled.astype(np.uint8)).convert("RGB")
