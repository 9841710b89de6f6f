"""The program as a process that tests kill, starve and feed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

PROGRAM = [sys.executable, "-m", "libra_bench"]
CORPUS = 60
"""Examples of the small cohort; a text-only baseline answers them in no time."""


def environment(**changes: str) -> dict[str, str]:
    # A single thread: two cores are enough for a test and its program.
    return {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **changes}


def call(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    options.setdefault("env", environment())
    command = [*PROGRAM, *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=280, **options
    )


def refused(answer: subprocess.CompletedProcess[str], *words: str) -> None:
    """One message without a traceback, exit code 2, and these words in it."""
    assert answer.returncode == 2, answer.stderr
    told(answer, *words)


def told(answer: subprocess.CompletedProcess[str], *words: str) -> None:
    """A message, and no traceback."""
    assert "Traceback" not in answer.stderr, answer.stderr
    said = " ".join(answer.stderr.split())
    for word in words:
        assert word in said, answer.stderr


def kill_when(
    ready: Callable[[], bool],
    *arguments: object,
    number: int = signal.SIGKILL,
) -> int:
    """Start the program, send it a signal as soon as `ready` says so; its exit code."""
    command = [*PROGRAM, *map(str, arguments)]
    with subprocess.Popen(
        command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as running:
        # However slow the machine is, the test's own timeout ends a wait that has no end.
        while not ready() and running.poll() is None:
            time.sleep(0.002)
        running.send_signal(number)
        running.wait(timeout=60)
    return int(running.returncode)


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def cohort(folder: Path, count: int = CORPUS) -> Path:
    """Examples with images of noise below `folder`; their file."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(0)
    rows = []
    for number in range(count):
        name = f"{number}.png"
        pixels = draw.integers(0, 255, (60, 60), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
        rows.append(
            {
                "question_id": f"q{number}",
                "image": [name, f"{number - 1}.png"] if number % 2 else [name],
                "text": f"Describe study {number}.",
                "reference": f"The heart is normal in size. Study {number} is stable.",
                "subject_id": f"p{number // 2}",
            }
        )
    return write_lines(folder / "examples.jsonl", rows)
