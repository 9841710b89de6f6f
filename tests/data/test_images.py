from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from libra_bench.core.errors import InputError
from libra_bench.data import images
from libra_bench.data.images import load_ahead, load_image, resolve_image
from libra_bench.model.processor import ImageProcessor, pad_to_square

RAMP = np.linspace(0, 255, 64 * 48).reshape(48, 64).astype(np.uint8)


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "1"])
def test_eight_bit_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    image = load_image(saved(tmp_path / "x.png", Image.fromarray(RAMP).convert(mode)))
    assert (image.mode, image.size) == ("RGB", (64, 48))


def test_cmyk_jpeg(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.jpg", Image.fromarray(RAMP).convert("CMYK"))
    assert load_image(path).mode == "RGB"


def test_sixteen_bits_are_stretched_not_clipped(tmp_path: Path) -> None:
    deep = (RAMP.astype(np.uint16) * 16) + 1000
    values = np.asarray(load_image(saved(tmp_path / "x.png", Image.fromarray(deep))))[..., 0]
    assert (values.min(), values.max()) == (0, 255)
    assert np.abs(values.astype(int) - RAMP).max() <= 1
    even = np.full((4, 4), 7, dtype=np.uint16)
    assert np.asarray(load_image(saved(tmp_path / "e.png", Image.fromarray(even)))).max() == 0


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path / "x.jpg", Image.fromarray(RAMP), exif=exif)
    assert load_image(path).size == (48, 64)


def test_real_dicom_files(public_data: Path) -> None:
    """Both photometric interpretations: the chest is darker than the shoulders around it."""
    bright = load_image(public_data / "images" / "rsna_monochrome2.dcm")
    inverted = load_image(public_data / "images" / "monochrome1.dcm")
    for image in (bright, inverted):
        values = np.asarray(image)[..., 0]
        assert (values.min(), values.max()) == (0, 255)
    import pydicom

    raw = pydicom.dcmread(public_data / "images" / "monochrome1.dcm").pixel_array
    values = np.asarray(inverted)[..., 0].astype(float)
    assert np.corrcoef(raw.ravel(), values.ravel())[0, 1] < -0.9


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.dcm"])
def test_broken_files_are_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x89PNG\r\n\x1a\nnot really")
    with pytest.raises(InputError, match=name):
        load_image(tmp_path / name)


def test_truncated_file(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.jpg", Image.fromarray(RAMP))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"x\.jpg: cannot be read"):
        load_image(path)


def test_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "x.png", Image.fromarray(RAMP))
    monkeypatch.setattr(images, "LARGEST", 1000)
    with pytest.raises(InputError, match="64 × 48 pixels are too many"):
        load_image(path)


def test_paths_stay_below_the_root(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    saved(tmp_path / "outside.png", Image.fromarray(RAMP))
    saved(tmp_path / "root" / "inside.png", Image.fromarray(RAMP))
    (tmp_path / "root" / "link.png").symlink_to(tmp_path / "outside.png")
    root = tmp_path / "root"
    assert resolve_image(root, "inside.png").name == "inside.png"
    for name in ("../outside.png", str(tmp_path / "outside.png"), "link.png", "/etc/passwd"):
        with pytest.raises(InputError, match="leaves the image root"):
            resolve_image(root, name)
    with pytest.raises(InputError, match="is not in"):
        resolve_image(root, "absent.png")


def test_padding_centres_and_colours() -> None:
    image = Image.new("RGB", (4, 2), (9, 9, 9))
    square = np.asarray(pad_to_square(image, (1, 2, 3)))
    assert square.shape == (4, 4, 3)
    assert square[0, 0].tolist() == [1, 2, 3]
    assert square[1, 0].tolist() == [9, 9, 9]
    assert square[3, 3].tolist() == [1, 2, 3]


def test_processor_normalises_and_crops() -> None:
    processor = ImageProcessor.parse(
        {
            "size": {"shortest_edge": 8},
            "crop_size": {"height": 8, "width": 8},
            "do_center_crop": True,
            # Nearest neighbour: the edges stay sharp, and every value can be worked out.
            "resample": 0,
            "image_mean": [0.5, 0.5, 0.5],
            "image_std": [0.25, 0.25, 0.25],
        }
    )
    white = Image.new("RGB", (20, 10), (255, 255, 255))
    cropped = processor(white, "none")
    assert cropped.shape == (3, 8, 8)
    # (1 - 0.5) / 0.25 where the image is white, (0 - 0.5) / 0.25 where it was padded black,
    # and 127 / 255 where it was padded with the mean colour, int(0.5 * 255).
    assert cropped.unique().tolist() == [2.0]
    assert processor(white, "black").min() == -2.0
    assert processor(white, "mean").min() == pytest.approx((127 / 255 - 0.5) / 0.25, abs=1e-6)


@pytest.mark.parametrize("workers", [1, 3])
def test_images_ahead_come_in_order_with_their_errors(tmp_path: Path, workers: int) -> None:
    """Large images among small ones, one that is missing and one that is broken."""
    names = []
    for number in range(12):
        size = 900 if number % 3 == 0 else 8
        Image.new("L", (size, size), number).save(tmp_path / f"{number}.png")
        names.append(f"{number}.png")
    (tmp_path / "4.png").unlink()
    (tmp_path / "7.png").write_bytes(b"nothing")
    found = list(load_ahead(tmp_path, names, workers=workers))
    for number, image in enumerate(found):
        if number in (4, 7):
            assert isinstance(image, InputError) and f"{number}.png" in str(image)
        else:
            assert isinstance(image, Image.Image) and image.getpixel((0, 0)) == (number,) * 3
    assert len(found) == len(names)


def test_reading_ahead_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "x.png")
    begun: list[Path] = []
    monkeypatch.setattr(images, "load_image", lambda path: begun.append(path) or load_image(path))
    stream = load_ahead(tmp_path, ["x.png"] * 50, workers=2, ahead=5)
    next(stream)
    stream.close()
    assert 1 <= len(begun) <= 6
