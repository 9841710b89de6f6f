"""DICOM files as 8-bit images."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from libra_bench.core.errors import (
    MissingResourceError,
    StudyError,
    cause_of,
    costs_a_study,
)
from libra_bench.data.pixels import refuse_size, to_eight_bits

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

DECODERS = (
    "pip install 'libra-bench[dicom]', which brings pylibjpeg, pylibjpeg-libjpeg and "
    "pylibjpeg-openjpeg"
)
_PREAMBLE = 128
_BYTES_A_PIXEL = 6
"""Three channels of 16 bits, the most that a radiograph has."""
_BLOCK = 1 << 20


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM, by what it holds: its name says nothing.

    Known by the letters behind the preamble, or by the group length that begins a file without.
    """
    with path.open("rb") as stream:
        head = stream.read(_PREAMBLE + 4)
    return head[_PREAMBLE:] == b"DICM" or head.startswith(b"\x02\0\0\0UL\x04\0")


def load_dicom(path: Path, largest: int) -> Image.Image:
    """The image of a DICOM file, grey or RGB, stretched to 8 bits.

    Args:
        largest: pixels that are not too many.

    Raises:
        StudyError: no image, more than one, or one that cannot be read.
        MissingResourceError: another package could read it.
    """
    import pydicom
    from pydicom.pixels import apply_color_lut, apply_voi_lut

    with costs_a_study(f"{path}: its DICOM header cannot be read"):
        _refuse_bomb(path, largest)
        # Without a preamble pydicom has to be told; what begins the file was looked at.
        data = pydicom.dcmread(path, force=True)
        if "PixelData" not in data and "FloatPixelData" not in data:
            raise StudyError(f"{path}: a DICOM file without an image")
        # Before anything is unpacked: the header says how large it will be.
        rows, columns = int(data.get("Rows", 0)), int(data.get("Columns", 0))
        frames = int(data.get("NumberOfFrames", 1) or 1)
        samples, bits = int(data.get("SamplesPerPixel", 1)), int(data.get("BitsAllocated", 16))
        kind = str(data.get("PhotometricInterpretation", "MONOCHROME2"))
        syntax = data.file_meta.get("TransferSyntaxUID")
    refuse_size(path, columns, rows, largest)
    if frames != 1:
        raise StudyError(f"{path}: {frames} frames; a radiograph has one")
    if rows * columns * samples * bits > 8 * _BYTES_A_PIXEL * largest:
        raise StudyError(f"{path}: {samples} samples of {bits} bits a pixel are too many")
    if not isinstance(syntax, str):
        raise StudyError(f"{path}: one transfer syntax was expected, not {syntax!r}")
    try:
        pixels = data.pixel_array
    except Exception as error:
        raise _unreadable(path, syntax, error) from error
    with costs_a_study(f"{path}: its pixels cannot be read"):
        if kind == "PALETTE COLOR":
            return Image.fromarray(to_eight_bits(apply_color_lut(pixels, data)))
        curve = None
        if kind.startswith("MONOCHROME"):
            curve = _curve(apply_voi_lut, data)
        grey = to_eight_bits(np.asarray(pixels), curve, inverted=kind == "MONOCHROME1")
        return Image.fromarray(grey)


def _curve(apply: Any, data: Dataset) -> Any:
    # Refused here rather than by numpy's warnings: what is no number makes no picture.
    for name in ("WindowCenter", "WindowWidth"):
        values = data.get(name)
        for value in np.atleast_1d([] if values is None else values):
            if not np.isfinite(float(value)):
                raise StudyError(f"{data.filename}: its {name} is {value}, which is not finite")
    return lambda values: apply(values, data)


def _refuse_bomb(path: Path, largest: int) -> None:
    """Refuse a deflated file that would fill the memory when it is unpacked."""
    from pydicom.filereader import read_file_meta_info
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    with path.open("rb") as stream:
        preamble = _PREAMBLE + 4 if stream.read(_PREAMBLE + 4)[_PREAMBLE:] == b"DICM" else 0
    if not preamble:
        return
    meta = read_file_meta_info(path)
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        return
    unpacked = 0
    expand = zlib.decompressobj(-zlib.MAX_WBITS)
    with path.open("rb") as stream:
        # The group length counts what follows its own twelve bytes.
        stream.seek(preamble + 12 + int(meta.FileMetaInformationGroupLength))
        while (packed := expand.unconsumed_tail or stream.read(_BLOCK)) and not expand.eof:
            unpacked += len(expand.decompress(packed, _BLOCK))
            if unpacked > _BYTES_A_PIXEL * largest:
                raise StudyError(f"{path}: too large when it is unpacked")


def _unreadable(path: Path, syntax: Any, error: Exception) -> StudyError | MissingResourceError:
    """Why pixels cannot be read: no decoder for their compression, a weak one, or broken ones."""
    from pydicom.pixels import get_decoder

    cause = f"{path}: its pixels cannot be read ({cause_of(error)})"
    if syntax.is_private or not syntax.is_compressed:
        return StudyError(cause)
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        return StudyError(f"{path}: there is no decoder for {syntax.name}")
    if not decoder.is_available:
        return MissingResourceError(f"{path}: no decoder for {syntax.name}", DECODERS)
    # Pillow counts as a decoder of kinds of which it reads some: 12 bits it does not.
    if set(decoder.available_plugins) == {"pillow"}:
        return MissingResourceError(
            f"{cause}; {syntax.name} needs more than Pillow, if the file is whole", DECODERS
        )
    return StudyError(cause)
