"""Stored benchmarks are compared in units of their calibration loops."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "compare.py"


def store(folder: Path, number: int, loop: float, **times: float) -> None:
    rows = [
        {"name": name, "stats": {"min": time}, "extra_info": {"calibration": loop}}
        for name, time in times.items()
    ]
    place = folder / "Linux-CPython"
    place.mkdir(exist_ok=True)
    (place / f"{number:04d}_commit.json").write_text(json.dumps({"benchmarks": rows}))


def compare(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), str(folder), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_slower_machine_is_no_regression(tmp_path: Path) -> None:
    store(tmp_path, 1, loop=1.0, metric=2.0)
    assert "nothing to compare" in compare(tmp_path).stdout
    # Twice as slow in everything.
    store(tmp_path, 2, loop=2.0, metric=4.0)
    answer = compare(tmp_path)
    assert answer.returncode == 0 and "1.00×" in answer.stdout


def test_a_slower_benchmark_is_one(tmp_path: Path) -> None:
    store(tmp_path, 1, loop=1.0, metric=2.0, gone=1.0)
    store(tmp_path, 2, loop=1.0, metric=3.2, new=1.0)
    answer = compare(tmp_path)
    assert answer.returncode == 3 and "slower than before: metric" in answer.stdout
    assert "gone" in answer.stdout and "new" in answer.stdout
    assert compare(tmp_path, "--tolerance", "1.7").returncode == 0
