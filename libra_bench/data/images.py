"""Reading radiographs: JPG, PNG of 8 and 16 bits, DICOM; one, or many ahead of their use.

What is read is data and never runs: Pillow is told which formats there are, so that no file reaches
Ghostscript or another program, whatever its name. Whatever is wrong with an image costs its study.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from libra_bench.core.errors import InputError, StudyError, costs_a_study
from libra_bench.data import packed
from libra_bench.data.dicom import is_dicom, load_dicom
from libra_bench.data.parallel import default_workers, in_order
from libra_bench.data.pixels import refuse_size, to_eight_bits

LARGEST = 150_000_000
"""Pixels of an image and of the square around it; the largest plain radiographs have about 20
million."""
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "PPM", "JPEG2000")
"""What Pillow may take a file for, by its content."""
NOTICE = "notice"
"""Key of `Image.info` under which an image says what its reader should know."""
WINDOWED = "its window may lie outside its values, or its RescaleSlope be 0"
"""What makes a DICOM image of one colour of one that has many."""
LINKED = "files"
"""The folder of PhysioNet's layout that often is a link to where the images are."""
_SHOWN = 120
"""Characters of a name that messages show."""


def resolve_image(root: Path, relative: str) -> Path:
    """The file that an example names, below the image root.

    A link may lead anywhere below the root, which may itself be a link. `files`, the top folder
    of PhysioNet's layout, may be a link to elsewhere: what it names counts as below the root.

    Raises:
        StudyError: it lies outside the root, is not there, or has a name that no file can have.
    """
    name = repr(relative) if len(relative) <= _SHOWN else f"{relative[:_SHOWN]!r}…"
    with costs_a_study(f"image {name} cannot be looked for in {root}"):
        base = root.resolve()
        path = (base / relative).resolve()
        if not any(path.is_relative_to(one) for one in _bases(base, relative)):
            raise StudyError(f"image {name} leaves the image root {root}")
        found = path if path.is_file() else packed.unpack(root, relative)
        if found is None:
            raise StudyError(f"image {name} is not in {root}")
        return found


def _bases(base: Path, relative: str) -> list[Path]:
    """Folders in which an image of the root may lie."""
    linked = base / LINKED
    inside = PurePosixPath(relative).parts[:1] == (LINKED,)
    return [base, linked.resolve()] if inside and linked.is_symlink() else [base]


def load_image(path: Path) -> Image.Image:
    """A radiograph as RGB, by what the file holds: DICOM named `.jpg`, or not at all, is DICOM.

    Colour modes of 8 bits are converted as Pillow does. Deeper greys (16-bit PNG, DICOM) are
    stretched from their darkest to their brightest value; DICOM goes through its VOI LUT and,
    where small values are bright (MONOCHROME1), is inverted first, as the published code does.
    An orientation in the EXIF header is applied. An image of one colour, in which nothing can be
    seen, says so in `info[NOTICE]`.

    Raises:
        StudyError: the file is missing, broken, no image, not finite, or too large to be a
            radiograph.
        MissingResourceError: DICOM of a compression that another package could read.
    """
    with costs_a_study(f"{path}: cannot be read as an image"):
        dicom = is_dicom(path)
        image = load_dicom(path, LARGEST).convert("RGB") if dicom else _load_picture(path)
        extremes = np.array(image.getextrema())
        if (extremes[:, 0] == extremes[:, 1]).all():
            image.info[NOTICE] = _of_one_colour(extremes[:, 0].tolist(), dicom)
        return image


def _load_picture(path: Path) -> Image.Image:
    try:
        with Image.open(path, formats=FORMATS) as opened:
            refuse_size(path, opened.width, opened.height, LARGEST)
            ImageOps.exif_transpose(opened, in_place=True)
            if not opened.mode.startswith(("I", "F")):
                return opened.convert("RGB")
            grey = _grey(opened)
    except UnidentifiedImageError:
        raise StudyError(
            f"{path}: not an image that can be read (DICOM, {', '.join(FORMATS)})"
        ) from None
    except Image.DecompressionBombError:
        raise StudyError(f"{path}: too many pixels for a radiograph") from None
    return Image.fromarray(grey).convert("RGB")


def _grey(opened: Image.Image) -> np.ndarray:
    """Eight bits of deeper ones [h, w]; the image and its values are gone when RGB is made."""
    values = np.asarray(opened)
    opened.close()
    return to_eight_bits(values)


def _of_one_colour(colour: list[int], dicom: bool) -> str:
    name = {0: "black", 255: "white"}.get(colour[0]) if len(set(colour)) == 1 else None
    what = f"all of the image is {name or f'of the colour {colour}'}: nothing can be seen in it"
    return f"{what}; {WINDOWED}" if dicom else what


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
