"""Damaged images of every format that is read: none may raise anything but an `InputError`.

By hand, with more of them than the tests take:

    python tests/faults/fuzz_images.py --count 10000 --seed 1
"""

import argparse
import io
import random
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    RLELossless,
    generate_uid,
)

from libra_bench.core.errors import InputError
from libra_bench.data.images import load_image

NOISE = np.random.default_rng(0).normal(0, 12, (32, 40))
GREY = (np.linspace(0, 255, 40 * 32).reshape(32, 40) + NOISE).clip(0, 255).astype(np.uint8)
DEEP = GREY.astype(np.uint16) * 15 + 100


def pictures() -> Iterator[tuple[str, bytes]]:
    """A whole file of each kind that Pillow reads."""
    grey, deep = Image.fromarray(GREY), Image.fromarray(DEEP)
    colour = Image.merge("RGB", [grey] * 3)
    kinds: list[tuple[str, Image.Image, str, dict[str, object]]] = [
        ("png8.png", grey, "PNG", {}),
        ("png16.png", deep, "PNG", {}),
        ("palette.png", grey.convert("P"), "PNG", {}),
        ("alpha.png", colour.convert("RGBA"), "PNG", {}),
        ("grey.jpg", grey, "JPEG", {}),
        ("progressive.jpg", colour, "JPEG", {"progressive": True}),
        ("lossy.webp", colour, "WEBP", {}),
        ("lossless.webp", colour, "WEBP", {"lossless": True}),
        ("deep.tif", deep, "TIFF", {"compression": "tiff_lzw"}),
        ("float.tif", Image.fromarray(DEEP.astype(np.float32)), "TIFF", {}),
        ("grey.bmp", grey, "BMP", {}),
        ("deep.pgm", deep.convert("I"), "PPM", {}),
        ("grey.jp2", grey, "JPEG2000", {}),
    ]
    for name, image, kind, options in kinds:
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        yield name, buffer.getvalue()


def dicom(pixels: np.ndarray, syntax: str, **elements: object) -> FileDataset:
    """A DICOM data set of one sample a pixel; compressed ones bring their own `PixelData`."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["fuzz"])
    data = FileDataset("x.dcm", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, "1.2.3"
    data.PhotometricInterpretation, data.SamplesPerPixel = "MONOCHROME2", 1
    data.Rows, data.Columns = pixels.shape
    bits = pixels.dtype.itemsize * 8
    data.BitsAllocated, data.BitsStored, data.HighBit = bits, bits, bits - 1
    data.PixelRepresentation = 0
    data.PixelData = pixels.tobytes()
    data["PixelData"].VR = "OW" if bits > 8 else "OB"
    for name, value in elements.items():
        setattr(data, name, value)
    return data


def written(data: FileDataset) -> bytes:
    """A data set as a file."""
    buffer = io.BytesIO()
    if data.file_meta.TransferSyntaxUID == ExplicitVRBigEndian:
        dcmwrite(buffer, data, implicit_vr=False, little_endian=False, force_encoding=True)
    else:
        data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def look_up_table(values: np.ndarray, first: int) -> Dataset:
    """An item of a VOI LUT sequence: 16-bit values for the grades from `first` on."""
    item = Dataset()
    item.LUTDescriptor = [len(values), first, 16]
    item.LUTData = values.astype("<u2").tobytes()
    item["LUTDescriptor"].VR, item["LUTData"].VR = "US", "OW"
    return item


def encapsulated(kind: str, syntax: str) -> FileDataset:
    """8 bits compressed by Pillow inside DICOM."""
    buffer = io.BytesIO()
    options = {"no_jp2": True} if kind == "JPEG2000" else {}
    Image.fromarray(GREY).save(buffer, kind, **options)
    data = dicom(GREY, syntax, PixelData=encapsulate([buffer.getvalue()]))
    data["PixelData"].VR = "OB"
    data["PixelData"].is_undefined_length = True
    return data


def dicoms() -> Iterator[tuple[str, bytes]]:
    """A whole file of each kind of DICOM."""
    plain = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian)
    for syntax in plain:
        yield f"{syntax.keyword}.dcm", written(dicom(DEEP, syntax))
    yield "big.dcm", written(dicom(DEEP.byteswap(), ExplicitVRBigEndian))
    run_length = dicom(DEEP, ExplicitVRLittleEndian)
    run_length.compress(RLELossless, generate_instance_uid=False)
    yield "rle.dcm", written(run_length)
    window = {"WindowCenter": 2000, "WindowWidth": 1500, "PhotometricInterpretation": "MONOCHROME1"}
    yield "window.dcm", written(dicom(DEEP, ExplicitVRLittleEndian, **window))
    table = look_up_table(np.arange(4096)[::-1] * 16, 0)
    yield "table.dcm", written(dicom(DEEP, ExplicitVRLittleEndian, VOILUTSequence=[table]))
    yield "jpeg.dcm", written(encapsulated("JPEG", JPEGBaseline8Bit))
    yield "jpeg2000.dcm", written(encapsulated("JPEG2000", JPEG2000))
    yield "lossless.dcm", written(encapsulated("JPEG", JPEGLosslessSV1))


def whole_files() -> list[tuple[str, bytes]]:
    """Every kind of file, undamaged."""
    return [*pictures(), *dicoms()]


def _flip(data: bytearray, dice: random.Random) -> None:
    for _ in range(dice.choice((1, 1, 2, 8, 64))):
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)


def _header(data: bytearray, dice: random.Random) -> None:
    """Damage where formats say what follows."""
    start = 132 if data[128:132] == b"DICM" else 0
    for _ in range(dice.randint(1, 6)):
        data[start + dice.randrange(min(400, len(data) - start))] = dice.randrange(256)


def _cut(data: bytearray, dice: random.Random) -> None:
    del data[dice.randrange(len(data)) :]


def _drop(data: bytearray, dice: random.Random) -> None:
    start = dice.randrange(len(data))
    del data[start : start + dice.randint(1, 40)]


def _repeat(data: bytearray, dice: random.Random) -> None:
    start = dice.randrange(len(data))
    data[start:start] = data[start : start + dice.randint(1, 40)]


def _fill(data: bytearray, dice: random.Random) -> None:
    start, length = dice.randrange(len(data)), dice.randint(1, 40)
    data[start : start + length] = bytes([dice.choice((0, 0x7F, 0x80, 0xFF))]) * length


def _swap(data: bytearray, dice: random.Random) -> None:
    """Four bytes of one place at another: a length or a tag where it does not belong."""
    one, other = (dice.randrange(max(1, len(data) - 4)) for _ in range(2))
    data[one : one + 4] = data[other : other + 4]


DAMAGES: tuple[Callable[[bytearray, random.Random], None], ...] = (
    *(_flip, _header, _cut, _drop, _repeat, _fill, _swap),
)


def damaged(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """`count` damaged files: what was done to which, and the bytes."""
    files, dice = whole_files(), random.Random(seed)
    for number in range(count):
        name, whole = files[number % len(files)]
        data, done = bytearray(whole), []
        for _ in range(dice.choice((1, 1, 1, 2))):
            damage = dice.choice(DAMAGES)
            if data:
                damage(data, dice)
                done.append(damage.__name__.lstrip("_"))
        yield f"{name} {'+'.join(done)}", bytes(data)


def trial(folder: Path, label: str, data: bytes) -> str:
    """`read`, `refused`, or what escaped."""
    path = folder / label.partition(" ")[0]
    path.write_bytes(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = load_image(path)
    except InputError as error:
        return "refused" if path.name in str(error) else f"{label}: the file is not named: {error}"
    except BaseException as error:  # noqa: BLE001  (this is what is looked for)
        return f"{label}: {type(error).__name__}: {error}"
    return "read" if image.mode == "RGB" else f"{label}: mode {image.mode}"


def campaign(count: int, seed: int, folder: Path) -> tuple[Counter[str], list[str], float]:
    """How many were read and refused, what escaped, and the seconds of the slowest."""
    counts: Counter[str] = Counter()
    escaped, slowest = [], 0.0
    for label, data in damaged(count, seed):
        begun = time.perf_counter()
        result = trial(folder, label, data)
        slowest = max(slowest, time.perf_counter() - begun)
        counts[result if result in ("read", "refused") else "escaped"] += 1
        if result not in ("read", "refused"):
            escaped.append(result)
            (folder / f"escaped-{len(escaped)}-{label.partition(' ')[0]}").write_bytes(data)
    return counts, escaped, slowest


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the files that escaped")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        counts, escaped, slowest = campaign(chosen.count, chosen.seed, folder)
    print(f"{chosen.count} damaged images: {dict(counts)}, slowest {slowest:.2f} s")
    print("\n".join(escaped[:50]))
    return 1 if escaped else 0


if __name__ == "__main__":
    sys.exit(main())
