"""DICOM as radiographs come: window, inversion, palette, compression; and what is refused."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    RLELossless,
    generate_uid,
)

from libra_bench.core.errors import InputError, MissingResourceError
from libra_bench.data import images
from libra_bench.data.images import load_image

GREY = np.arange(6 * 8, dtype=np.uint8).reshape(6, 8) * 5


def dicom(pixels: np.ndarray, **elements: object) -> FileDataset:
    """A file of 8 or 16 bits with one sample a pixel."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = generate_uid()
    data = FileDataset("x.dcm", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, generate_uid()
    data.PhotometricInterpretation, data.SamplesPerPixel = "MONOCHROME2", 1
    data.Rows, data.Columns = pixels.shape
    bits = pixels.dtype.itemsize * 8
    data.BitsAllocated, data.BitsStored, data.HighBit = bits, bits, bits - 1
    data.PixelRepresentation = 0
    data.PixelData = pixels.tobytes()
    for name, value in elements.items():
        setattr(data, name, value)
    return data


def load(data: FileDataset, folder: Path) -> np.ndarray:
    path = folder / "x.dcm"
    data.save_as(path, enforce_file_format=True)
    return np.asarray(load_image(path))


def stretched(values: np.ndarray) -> np.ndarray:
    values = values.astype(float) - values.min()
    return (values / values.max() * 255).astype(np.uint8)


def test_both_greys(tmp_path: Path) -> None:
    deep = GREY.astype(np.uint16) * 16 + 300
    assert (load(dicom(deep), tmp_path)[..., 0] == stretched(deep)).all()
    inverted = dicom(deep, PhotometricInterpretation="MONOCHROME1")
    assert (load(inverted, tmp_path)[..., 2] == stretched(deep.max() - deep)).all()


def test_a_window_cuts_what_lies_outside(tmp_path: Path) -> None:
    """Centre 100, width 100: from 50 to 149 by the standard's formula for linear windows."""
    data = dicom(GREY, WindowCenter=100, WindowWidth=100, BitsStored=8)
    found = load(data, tmp_path)[..., 0]
    assert (found[GREY <= 49] == 0).all() and (found[GREY > 149] == 255).all()
    middle = found[(GREY > 50) & (GREY < 149)]
    assert (np.diff(middle.astype(int)) > 0).all()


def test_palette(tmp_path: Path) -> None:
    """Four colours of 16 bits; the image names them by number."""
    numbers = np.array([[0, 1], [2, 3]], dtype=np.uint8)
    data = dicom(numbers, PhotometricInterpretation="PALETTE COLOR")
    colours = {
        "Red": [0, 65535, 0, 65535],
        "Green": [0, 0, 65535, 65535],
        "Blue": [0, 0, 0, 65535],
    }
    for name, values in colours.items():
        setattr(data, f"{name}PaletteColorLookupTableDescriptor", [4, 0, 16])
        table = np.array(values, dtype="<u2").tobytes()
        setattr(data, f"{name}PaletteColorLookupTableData", table)
    black, red, green, white = (0, 0, 0), (255, 0, 0), (0, 255, 0), (255, 255, 255)
    expected = np.array([[black, red], [green, white]])
    assert (load(data, tmp_path) == expected).all()


def test_run_length_encoding(tmp_path: Path) -> None:
    data = dicom(GREY)
    data.compress(RLELossless)
    assert (load(data, tmp_path)[..., 0] == stretched(GREY)).all()


def test_jpeg_inside(tmp_path: Path) -> None:
    smooth = np.linspace(0, 255, 64 * 64).reshape(64, 64).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(smooth).save(buffer, "JPEG", quality=95)
    data = dicom(smooth, PixelData=encapsulate([buffer.getvalue()]))
    data["PixelData"].VR = "OB"
    data["PixelData"].is_undefined_length = True
    data.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    assert np.abs(load(data, tmp_path)[..., 0].astype(int) - smooth).max() <= 6


def test_jpeg_2000_through_pylibjpeg(tmp_path: Path) -> None:
    pytest.importorskip("openjpeg", reason="needs pylibjpeg-openjpeg")
    data = dicom(np.tile(GREY.astype(np.uint16) * 200, (8, 8)))
    data.BitsStored, data.HighBit = 16, 15
    expected = stretched(data.pixel_array)
    data.compress(JPEG2000Lossless, encoding_plugin="pylibjpeg")
    assert (load(data, tmp_path)[..., 0] == expected).all()


def test_a_missing_decoder_is_named_with_its_mending(tmp_path: Path) -> None:
    if get_decoder(JPEGLosslessSV1).is_available:
        pytest.skip("a decoder for lossless JPEG is installed")
    data = dicom(GREY, PixelData=encapsulate([b"\xff\xd8\xff\xd9"]))
    data["PixelData"].VR = "OB"
    data["PixelData"].is_undefined_length = True
    data.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    with pytest.raises(MissingResourceError, match="pylibjpeg-libjpeg") as caught:
        load(data, tmp_path)
    assert "x.dcm: no decoder for JPEG Lossless" in str(caught.value)


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        ({"Rows": 60_000, "Columns": 60_000}, "60000 × 60000 pixels are too many"),
        ({"NumberOfFrames": 12}, "12 frames"),
        ({"Rows": 100}, "cannot be read"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "cannot be read"),
    ],
)
def test_what_is_no_radiograph_is_refused(
    tmp_path: Path, elements: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load(dicom(GREY, **elements), tmp_path)
    assert "x.dcm" in str(caught.value)


def test_broken_elements_are_named(tmp_path: Path) -> None:
    """A length that is none, a kind of value that is none, and a file that ends in an element."""
    dicom(GREY).save_as(tmp_path / "x.dcm", enforce_file_format=True)
    whole = (tmp_path / "x.dcm").read_bytes()
    rows = whole.index(b"\x28\x00\x10\x00US")
    for broken in (
        whole[: rows + 6] + b"\x01\x00" + whole[rows + 8 :],
        whole[: rows + 4] + b"UW" + whole[rows + 6 :],
        whole[: rows + 5],
    ):
        (tmp_path / "x.dcm").write_bytes(broken)
        with pytest.raises(InputError, match=r"x\.dcm: .*(cannot be read|without an image)"):
            load_image(tmp_path / "x.dcm")


def test_a_header_alone(tmp_path: Path) -> None:
    data = dicom(GREY)
    del data.PixelData
    with pytest.raises(InputError, match="without an image"):
        load(data, tmp_path)


def test_the_limit_holds_before_unpacking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "LARGEST", 40)
    with pytest.raises(InputError, match="8 × 6 pixels are too many"):
        load(dicom(GREY), tmp_path)
