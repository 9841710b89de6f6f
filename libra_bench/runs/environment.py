"""What a run ran on: versions, commit, device."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import libra_bench
from libra_bench.version import __version__

PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "sentencepiece",
    "safetensors",
    "numpy",
    "pandas",
    "pillow",
    "pydicom",
    "sacrebleu",
    "rouge-score",
    "nltk",
    "scikit-learn",
)


def versions() -> dict[str, str]:
    """Versions of this package, Python and every package a figure may depend on."""
    found = {"libra_bench": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "absent"
    return found


def commit() -> dict[str, Any] | None:
    """Commit and dirty flag of the source checkout; None for an installed package."""
    root = Path(libra_bench.__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        head = _git(root, "rev-parse", "HEAD")
        dirty = bool(_git(root, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": head, "dirty": dirty}


def _git(root: Path, *arguments: str) -> str:
    answer = subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=10
    )
    return answer.stdout.strip()


def machine() -> dict[str, Any]:
    """Processor and, where torch is loaded already, the devices it sees.

    Torch is not imported for this: a run of a text-only baseline does without it.
    """
    facts: dict[str, Any] = {
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "gpus": [],
    }
    torch = sys.modules.get("torch")
    if torch is not None:
        facts["threads"] = torch.get_num_threads()
        facts["gpus"] = [
            torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())
        ]
    return facts
