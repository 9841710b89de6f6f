"""Peak memory while one image is read, in bytes a pixel, the RGB image included.

python benchmarks/image_memory.py
"""

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 4000


def write(folder: Path) -> None:
    """Noise of 12 bits in each format, and a small image to begin with."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    values = np.random.default_rng(0).integers(0, 4096, (SIDE, SIDE)).astype(np.uint16)
    Image.fromarray(values[:64, :64]).save(folder / "small.png")
    Image.fromarray((values >> 4).astype(np.uint8)).save(folder / "8 bits.png")
    Image.fromarray(values).save(folder / "16 bits.png")
    Image.fromarray(values.astype(np.float32)).save(folder / "floats.tif")
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("x.dcm", {}, file_meta=meta, preamble=bytes(128))
    data.PhotometricInterpretation, data.SamplesPerPixel = "MONOCHROME1", 1
    data.Rows, data.Columns = values.shape
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
    data.WindowCenter, data.WindowWidth = 2000, 1500
    data.PixelData = values.tobytes()
    data.save_as(folder / "window.dcm")


def measure(path: Path) -> None:
    """Read one image in this process and print what it cost over what was there."""
    from libra_bench.data.images import load_image

    load_image(path.parent / "small.png")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    image = load_image(path)
    cost = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"{path.name:12} {cost * 1024 / (image.width * image.height):5.1f} bytes a pixel")


def main() -> None:
    if sys.argv[1:2] == ["write"]:
        write(Path(sys.argv[2]))
    elif len(sys.argv) > 1:
        measure(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            # A process each, begun by one that is small: a peak passes on to what it begins.
            subprocess.run([sys.executable, __file__, "write", folder], check=True)
            for path in sorted(Path(folder).iterdir()):
                if path.name != "small.png":
                    subprocess.run([sys.executable, __file__, str(path)], check=True)


if __name__ == "__main__":
    main()
