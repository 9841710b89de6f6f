"""Images that are broken, hostile or empty: what each costs, and that it costs one study."""

import io
import os
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEGExtended12Bit,
)

from libra_bench.core.errors import InputError, MissingResourceError, StudyError
from libra_bench.data import images
from libra_bench.data.images import NOTICE, load_ahead, load_image, resolve_image
from libra_bench.data.pixels import to_eight_bits

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "faults"))
try:
    import fuzz_images as fuzz
finally:
    sys.path.pop(0)

RAMP = np.linspace(0, 4000, 48 * 64).reshape(48, 64).astype(np.uint16)


def saved(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def plain(**elements: object) -> bytes:
    return fuzz.written(fuzz.dicom(RAMP, ExplicitVRLittleEndian, **elements))


def picture(kind: str = "PNG", image: np.ndarray = RAMP) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind)
    return buffer.getvalue()


def test_damaged_images_of_all_formats_are_read_or_refused(tmp_path: Path) -> None:
    counts, escaped, _ = fuzz.campaign(500, 7, tmp_path)
    assert escaped == []
    # The campaign would be none if damage were never noticed, or always.
    assert counts["read"] > 50 and counts["refused"] > 50


def test_whole_files_of_all_formats_are_read(tmp_path: Path) -> None:
    results = {name: fuzz.trial(tmp_path, name, data) for name, data in fuzz.whole_files()}
    assert results.pop("lossless.dcm") in ("read", "refused")
    assert set(results.values()) == {"read"}, results


@pytest.mark.parametrize("name", ["x", "x.jpg", "IMG0001", "x.dcm", "x.PNG"])
def test_dicom_is_known_by_what_it_holds(tmp_path: Path, name: str) -> None:
    found = np.asarray(load_image(saved(tmp_path / name, plain())))[..., 0]
    assert (found == (RAMP / 4000 * 255).astype(np.uint8)).all()


def test_a_dicom_file_without_preamble_and_a_png_named_so(tmp_path: Path) -> None:
    whole = load_image(saved(tmp_path / "a", plain()))
    bare = load_image(saved(tmp_path / "b", plain()[132:]))
    named = load_image(saved(tmp_path / "c.dcm", picture()))
    assert (np.asarray(bare) == np.asarray(whole)).all()
    assert (np.asarray(named) == np.asarray(whole)).all()


@pytest.mark.parametrize("name", ["x.jpg", "x.png", "x.eps", "x"])
def test_postscript_never_reaches_ghostscript(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program called `gs` would leave a file behind; the image has to be refused without."""
    ran = tmp_path / "ran"
    program = tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch {ran}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    text = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    path = saved(tmp_path / name, text)
    script = (
        "import sys; from pathlib import Path; from libra_bench.data.images import load_image\n"
        "try: load_image(Path(sys.argv[1]))\n"
        "except Exception as error: print(type(error).__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "StudyError"
    assert not ran.exists()


def test_windows_outside_the_values_are_told(tmp_path: Path) -> None:
    """All values lie above the window: the image is black, whatever it shows."""
    outside = saved(tmp_path / "x.dcm", plain(WindowCenter=-5000, WindowWidth=100))
    image = load_image(outside)
    assert image.getextrema() == ((0, 0),) * 3
    assert "black" in image.info[NOTICE] and "window" in image.info[NOTICE]
    assert NOTICE not in load_image(saved(tmp_path / "y.dcm", plain())).info


@pytest.mark.parametrize("intercept", [0, 700])
def test_a_slope_of_nothing_is_told(tmp_path: Path, intercept: float) -> None:
    """Each value becomes the intercept where a window is applied, and the image black."""
    window = {"WindowCenter": 2000, "WindowWidth": 3000}
    slope = {"RescaleSlope": 0, "RescaleIntercept": intercept}
    image = load_image(saved(tmp_path / "x.dcm", plain(**window, **slope)))
    assert image.getextrema() == ((0, 0),) * 3
    assert "RescaleSlope" in image.info[NOTICE]
    whole = load_image(saved(tmp_path / "y.dcm", plain(**window, **{**slope, "RescaleSlope": 1})))
    assert NOTICE not in whole.info and whole.getextrema()[0] == (0, 255)


@pytest.mark.parametrize(("value", "said"), [(0, "black"), (255, "white"), (90, "[90, 90, 90]")])
def test_images_of_one_colour_are_told(tmp_path: Path, value: int, said: str) -> None:
    path = saved(tmp_path / "x.png", picture(image=np.full((9, 9), value, np.uint8)))
    assert said in load_image(path).info[NOTICE]


@pytest.mark.parametrize(
    "elements",
    [
        {"WindowCenter": "nan", "WindowWidth": 100},
        {"WindowCenter": 100, "WindowWidth": "nan"},
        {"WindowCenter": ["inf", "100"], "WindowWidth": ["100", "100"]},
    ],
)
def test_windows_that_are_not_finite_fail(tmp_path: Path, elements: dict[str, object]) -> None:
    with pytest.raises(StudyError, match=r"x\.dcm: its Window\w+ is (nan|inf)"):
        load_image(saved(tmp_path / "x.dcm", plain(**elements)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_fail(tmp_path: Path, value: float) -> None:
    values = RAMP.astype(np.float32)
    values[3, 4] = value
    path = saved(tmp_path / "x.tif", picture("TIFF", values))
    with pytest.raises(StudyError, match=r"x\.tif: .*not finite"):
        load_image(path)


def test_a_look_up_table_that_is_shorter_than_it_says(tmp_path: Path) -> None:
    table = fuzz.look_up_table(np.arange(4096), 0)
    table.LUTDescriptor = [60000, 0, 16]
    with pytest.raises(StudyError, match=r"x\.dcm: its pixels cannot be read"):
        load_image(saved(tmp_path / "x.dcm", plain(VOILUTSequence=[table])))


def test_two_transfer_syntaxes(tmp_path: Path) -> None:
    whole = plain()
    one = ExplicitVRLittleEndian.encode() + b"\0"
    assert one in whole
    two = whole.replace(one, one[:-1] + b"\\" + b"1.2.840.10008.1.2\0\0")
    two = two.replace(b"UI\x14\x00" + one[:-1], b"UI\x26\x00" + one[:-1], 1)
    length = int.from_bytes(whole[140:144], "little") + 18
    two = two[:140] + length.to_bytes(4, "little") + two[144:]
    with pytest.raises(StudyError, match=r"x\.dcm"):
        load_image(saved(tmp_path / "x.dcm", two))


def test_a_corrupt_deflated_file_and_a_deflated_bomb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fuzz.written(fuzz.dicom(RAMP, DeflatedExplicitVRLittleEndian))
    broken = bytearray(whole)
    broken[-200] ^= 0xFF
    broken[-201] ^= 0xFF
    with pytest.raises(StudyError, match=r"x\.dcm: its DICOM header cannot be read"):
        load_image(saved(tmp_path / "x.dcm", bytes(broken[:-120])))
    assert load_image(saved(tmp_path / "y.dcm", whole)).size == (64, 48)
    # 40 MB of zeros behind the data set, in 40 KB.
    start = 132 + 12 + int.from_bytes(whole[140:144], "little")
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    plain_set = zlib.decompress(whole[start:], -zlib.MAX_WBITS)
    bomb = packer.compress(plain_set + bytes(40_000_000)) + packer.flush()
    monkeypatch.setattr(images, "LARGEST", 5_000)
    path = saved(tmp_path / "z.dcm", whole[:start] + bomb)
    with pytest.raises(StudyError, match="too large when it is unpacked"):
        load_image(path)


def test_pixels_that_pillow_cannot_read_name_the_packages(tmp_path: Path) -> None:
    """12-bit JPEG: pydicom counts Pillow as its decoder, which reads 8 bits of it."""
    data = fuzz.encapsulated("JPEG", JPEGExtended12Bit)
    data.PixelData = data.PixelData.replace(b"\xff\xc0\x00\x0b\x08", b"\xff\xc1\x00\x0b\x0c")
    data["PixelData"].is_undefined_length = True
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
    from pydicom.pixels import get_decoder

    if set(get_decoder(JPEGExtended12Bit).available_plugins) != {"pillow"}:
        pytest.skip("another decoder is installed")
    with pytest.raises(MissingResourceError, match=r"libra-bench\[dicom\]") as caught:
        load_image(saved(tmp_path / "x.dcm", fuzz.written(data)))
    assert "x.dcm" in str(caught.value)


@pytest.mark.parametrize("shape", [(1, 300), (300, 1), (2, 12_300), (12_300, 12_300)])
def test_what_would_fill_the_memory_is_refused_from_the_header(
    tmp_path: Path, shape: tuple[int, int]
) -> None:
    """Strips are padded to squares; the last one's header alone says how large it is."""
    header = b"P5 %d %d 255\n" % (shape[1], shape[0])
    with pytest.raises(StudyError, match=rf"{shape[1]} × {shape[0]} pixels"):
        load_image(saved(tmp_path / "x.pgm", header))


def test_names_that_no_file_can_have(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(picture())
    for name in ("a\0b.png", "x" * 300 + ".png", "é" * 200, "d/" * 3000 + "x", "\ud800.png", ""):
        with pytest.raises(StudyError) as caught:
            resolve_image(tmp_path, name)
        assert len(str(caught.value)) < 600
    found = list(load_ahead(tmp_path, ["a\0b.png", "x.png", "x" * 300], workers=2))
    assert [type(one) for one in found] == [StudyError, Image.Image, StudyError]


def test_links_lead_out_only_where_physionets_folder_is_one(tmp_path: Path) -> None:
    elsewhere, root = tmp_path / "disk", tmp_path / "root"
    (elsewhere / "p10").mkdir(parents=True)
    root.mkdir()
    saved(elsewhere / "p10" / "x.png", picture())
    saved(tmp_path / "secret.png", picture())
    (root / "files").symlink_to(elsewhere)
    (root / "other").symlink_to(elsewhere)
    (elsewhere / "out.png").symlink_to(tmp_path / "secret.png")
    assert resolve_image(root, "files/p10/x.png") == elsewhere / "p10" / "x.png"
    for name in ("other/p10/x.png", "files/out.png", "files/../secret.png", "../secret.png"):
        with pytest.raises(InputError, match="leaves the image root"):
            resolve_image(root, name)
    # A root that is itself a link is what the user named.
    (tmp_path / "linked").symlink_to(elsewhere)
    assert resolve_image(tmp_path / "linked", "p10/x.png").is_file()
    # A link below the root that stays there is no way out.
    (elsewhere / "again.png").symlink_to(elsewhere / "p10" / "x.png")
    assert resolve_image(elsewhere, "again.png").is_file()


def test_no_file_that_is_none_is_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    for name in ("pipe.png", "loop.png"):
        with pytest.raises(InputError):
            resolve_image(tmp_path, name)


@pytest.mark.parametrize("kind", [np.int16, np.uint16, np.int32, np.uint32, np.float64, np.uint8])
@pytest.mark.parametrize("inverted", [False, True])
def test_grades_become_eight_bits_as_written_down(kind: type, inverted: bool) -> None:
    """Against the formula on all values at once; more rows than are worked on together."""
    dice = np.random.default_rng(3)
    top = 200 if kind is np.uint8 else 3_000
    values = dice.integers(0, top, (700, 800)).astype(kind)
    if kind in (np.int16, np.int32, np.float64):
        values = values - kind(1_000)
    levels = 3.0 * values.astype(np.float64) ** 2
    levels = levels.max() - levels if inverted else levels - levels.min()
    expected = (levels / levels.max() * 255).astype(np.uint8)
    found = to_eight_bits(values, lambda some: 3.0 * some.astype(float) ** 2, inverted=inverted)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)


def test_deep_greys_cost_few_bytes_a_pixel() -> None:
    """The values themselves are there before: what is counted is what is made of them."""
    import tracemalloc

    values = np.random.default_rng(1).integers(0, 65536, (1500, 1000)).astype(np.uint16)
    tracemalloc.start()
    try:
        to_eight_bits(values)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # One byte a pixel is the result; half a million values are in work at a time.
    assert peak < 1 * values.size + 10_000_000


def test_palettes_of_colour_keep_their_channels() -> None:
    values = np.zeros((2, 2, 3), np.uint16)
    values[0, 0] = (0, 30000, 60000)
    assert to_eight_bits(values)[0, 0].tolist() == [0, 127, 255]


def test_a_broken_row_of_a_parquet_file_costs_itself(tmp_path: Path) -> None:
    """Its image names a file that can have no such name; all rows are of one group."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from libra_bench.data.packed import name

    rows = [
        [{"bytes": picture(), "path": None}],
        [{"bytes": None, "path": "a\0b.png"}],
        [{"bytes": picture(), "path": None}],
    ]
    pq.write_table(pa.table({"image": rows}), tmp_path / "test.parquet")
    for row in (0, 2):
        path = resolve_image(tmp_path, name("test.parquet", "image", row))
        assert load_image(path).size == (64, 48)
    with pytest.raises(StudyError):
        resolve_image(tmp_path, name("test.parquet", "image", 1))
    with pytest.raises(InputError):
        resolve_image(tmp_path, f"test.parquet/image/{'9' * 5000}-0")


def test_faults_pass_between_processes() -> None:
    import pickle

    from libra_bench.generation.search import NotFiniteError
    from libra_bench.metrics.resources import DamagedModelError

    for fault in (MissingResourceError("a", "b"), DamagedModelError("a.b", "c"), NotFiniteError()):
        found = pickle.loads(pickle.dumps(fault))
        assert isinstance(fault, type(found)) and str(found) == str(fault)
