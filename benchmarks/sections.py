"""Reports per second and memory of `data sections` on a folder, a zip and a tar archive.

    python benchmarks/sections.py [--reports 60000] [--workers 2] [--kinds folder,zip,tar]

Reports of MIMIC-CXR's length (about 1,300 characters) are written to a temporary folder first.
Exit code 1 when a kind stays below 3,000 reports per second.
"""

import argparse
import os
import random
import sys
import tarfile
import tempfile
import threading
import time
import zipfile
from pathlib import Path

from libra_bench.data.reports import write_section_table

FLOOR = 3000.0
SENTENCES = (
    "The lungs are clear without focal consolidation.",
    "There is a small left pleural effusion, unchanged.",
    "The cardiomediastinal silhouette is within normal limits.",
    "No pneumothorax is seen.",
    "Median sternotomy wires and mediastinal clips are again noted.",
)


def report(rng: random.Random) -> str:
    """A report with the collection's headers and line breaks."""
    findings = "\n ".join(rng.choices(SENTENCES, k=14))
    return (
        "                                 FINAL REPORT\n EXAMINATION:  CHEST (PA AND LAT)\n \n "
        f"INDICATION:  ___ year old with {rng.choice(('cough', 'fever'))}.\n \n "
        f"TECHNIQUE:  Chest PA and lateral\n \n COMPARISON:  ___\n \n FINDINGS: \n \n {findings}"
        f"\n \n IMPRESSION: \n \n {rng.choice(SENTENCES)}\n"
    )


def write(folder: Path, count: int) -> dict[str, Path]:
    """The same reports as a folder, a zip and a packed tar."""
    rng = random.Random(0)
    packed, archive = folder / "reports.zip", folder / "reports.tar.gz"
    for number in range(count):
        subject = f"p{10_000_000 + number // 4}"
        place = folder / "files" / subject[:3] / subject / f"s{50_000_000 + number}.txt"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(report(rng))
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for file in sorted((folder / "files").rglob("*.txt")):
            target.write(file, file.relative_to(folder))
    with tarfile.open(archive, "w:gz", compresslevel=1) as target:
        target.add(folder / "files", "files")
    return {"folder": folder / "files", "zip": packed, "tar": archive}


def resident() -> float:
    """Megabytes in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> int:
    """Write, then measure each kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reports", type=int, default=60_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kinds", default="folder,zip,tar")
    given = parser.parse_args()
    slow = False
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        places = write(folder, given.reports)
        for kind in given.kinds.split(","):
            peak, stop = [resident()], threading.Event()

            def watch(peak: list[float] = peak, stop: threading.Event = stop) -> None:
                while not stop.wait(0.05):
                    peak.append(resident())

            watcher = threading.Thread(target=watch)
            watcher.start()
            started = time.perf_counter()
            counts = write_section_table(places[kind], folder / "out.csv", workers=given.workers)
            rate = counts.written / (time.perf_counter() - started)
            stop.set()
            watcher.join()
            grown = max(peak) - peak[0]
            print(f"{kind:7} {rate:8.0f} reports/s, memory grew by {grown:.0f} MB", flush=True)
            slow |= rate < FLOOR
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())
