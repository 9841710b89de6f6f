"""The last stored run against the one before, as ratios to the calibration loops.

    python benchmarks/compare.py .benchmarks            # exit 3 where something became slower

A benchmark's time is its best round over the best round of a calibration loop, run right before
and after it: a slower machine slows both. Only a change of more than `--tolerance` counts.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

TOLERANCE = 1.5
REGRESSION = 3


def relative(run: dict[str, Any]) -> dict[str, float]:
    """Each benchmark's best time in units of its calibration loop's."""
    return {
        one["name"]: one["stats"]["min"] / one["extra_info"]["calibration"]
        for one in run["benchmarks"]
    }


def stored(folder: Path) -> list[Path]:
    """Runs by age; pytest-benchmark numbers them."""
    return sorted(folder.rglob("[0-9]*_*.json"), key=lambda path: path.name[:4])


def main() -> None:
    """Print the ratios; exit with 3 where one is above the tolerance."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tolerance", type=float, default=TOLERANCE)
    options = parser.parse_args()
    runs = stored(options.folder)
    if len(runs) < 2:
        print(f"{len(runs)} stored runs in {options.folder}: nothing to compare yet")
        return
    before, now = (relative(json.loads(path.read_text())) for path in runs[-2:])
    print(f"{runs[-1].name} against {runs[-2].name}, in units of the calibration loops")
    slower = []
    for name, value in sorted(now.items()):
        if name not in before:
            print(f"{name:50} new")
            continue
        ratio = value / before[name]
        mark = "slower" if ratio > options.tolerance else ""
        print(f"{name:50} {ratio:6.2f}× {mark}")
        if mark:
            slower.append(name)
    for name in sorted(before.keys() - now.keys()):
        print(f"{name:50} gone")
    if slower:
        print(f"slower than before: {', '.join(slower)}")
        raise SystemExit(REGRESSION)


if __name__ == "__main__":
    main()
