"""Reading radiographs: JPG, PNG of 8 and 16 bits, DICOM; one, or many ahead of their use."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from libra_bench.core.errors import InputError, MissingResourceError
from libra_bench.data import packed
from libra_bench.data.parallel import default_workers, in_order

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

LARGEST = 150_000_000
"""Pixels; the largest plain radiographs have about 20 million."""
DECODERS = "pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg"


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


def load_ahead(
    root: Path, names: Iterable[str], *, workers: int | None = None, ahead: int | None = None
) -> Iterator[Image.Image | InputError]:
    """Images in the order of `names`, read by `workers` threads before they are asked for.

    An image that cannot be read is its error, so that those after it are not lost.

    Args:
        ahead: at most so many images are in memory unasked for; None for twice the workers.
    """

    def load(name: str) -> Image.Image | InputError:
        try:
            return load_image(resolve_image(root, name))
        except InputError as error:
            return error

    workers = workers or default_workers()
    # Decoding releases the interpreter's lock, so that threads do as well as processes.
    with ThreadPoolExecutor(workers, thread_name_prefix="images") as pool:
        yield from in_order(pool, load, names, ahead=ahead or 2 * workers)


def _load_dicom(path: Path) -> Image.Image:
    import pydicom
    from pydicom.errors import BytesLengthException, InvalidDicomError
    from pydicom.pixels import apply_color_lut, apply_voi_lut

    # What pydicom raises over broken elements, which it reads when they are asked for.
    broken = (
        *(AttributeError, KeyError, NotImplementedError, RuntimeError, TypeError),
        *(struct.error, BytesLengthException),
    )
    try:
        data = pydicom.dcmread(path)
        if "PixelData" not in data:
            raise InputError(f"{path}: a DICOM file without an image")
        # Before anything is unpacked: the header says how large it will be.
        rows, columns = int(data.get("Rows", 0)), int(data.get("Columns", 0))
        frames = int(data.get("NumberOfFrames", 1) or 1)
        kind = str(data.get("PhotometricInterpretation", "MONOCHROME2"))
    except InvalidDicomError:
        raise InputError(f"{path}: not a DICOM file") from None
    except broken as error:
        raise InputError(f"{path}: its DICOM header cannot be read ({error})") from None
    if rows * columns > LARGEST:
        raise InputError(f"{path}: {columns} × {rows} pixels are too many")
    if frames != 1:
        raise InputError(f"{path}: {frames} frames; a radiograph has one")
    try:
        pixels = data.pixel_array
        if kind == "PALETTE COLOR":
            pixels = apply_color_lut(pixels, data)
        elif kind.startswith("MONOCHROME"):
            pixels = apply_voi_lut(pixels, data)
    except broken as error:
        raise _unreadable(path, data, error) from None
    values = np.asarray(pixels, dtype=np.float64)
    return _from_grey(values.max() - values if kind == "MONOCHROME1" else values)


def _unreadable(path: Path, data: Dataset, error: Exception) -> InputError:
    """Why pixels cannot be read: no decoder for their compression, or broken ones."""
    from pydicom.pixels import get_decoder

    syntax = data.file_meta.get("TransferSyntaxUID")
    try:
        compressed = syntax is not None and not syntax.is_private and syntax.is_compressed
        known = not compressed or get_decoder(syntax).is_available
    except (NotImplementedError, ValueError):
        known = False
    if known:
        return InputError(f"{path}: its pixels cannot be read ({error})")
    return MissingResourceError(
        f"{path}: no decoder for {syntax.name if syntax else 'its compression'}", DECODERS
    )


def _from_grey(values: np.ndarray) -> Image.Image:
    """Values [h, w] or [h, w, 3] stretched to 0-255; an even image is black."""
    values = values - values.min()
    brightest = values.max()
    scaled = values / brightest * 255 if brightest > 0 else values
    return Image.fromarray(scaled.astype(np.uint8)).convert("RGB")
