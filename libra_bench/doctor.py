"""What this machine has of all that the suite can use."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from libra_bench.version import __version__

OPTIONAL = {
    "pycocoevalcap": ("the coco profile", "pip install 'libra-bench[metrics]'"),
    "spacy": ("RaTEScore's sentences", "pip install 'libra-bench[metrics]'"),
    "accelerate": ("training", "pip install 'libra-bench[train]'"),
    "peft": ("training with LoRA", "pip install 'libra-bench[train]'"),
    "bitsandbytes": ("training in 8 and 4 bits", "pip install 'libra-bench[quantized]'"),
    "flash_attn": ("attention on a GPU; SDPA serves without it", "pip install 'libra-bench[gpu]'"),
}


@dataclass(frozen=True)
class Finding:
    """One thing looked for.

    Attributes:
        found: what is here, or everything that it lacks.
        mend: what brings it; None where nothing is missing.
        fetch: the name by which `libra-bench fetch` brings all of it; None where that cannot.
    """

    what: str
    ok: bool
    found: str
    mend: str | None = None
    fetch: str | None = None


def examine() -> list[Finding]:
    """Packages, device, programs, corpora, models and metrics, in this order."""
    return [*_packages(), *_device(), *_java(), *_corpora(), *_models(), *_metrics()]


def one_command(findings: Sequence[Finding]) -> str | None:
    """The `fetch` command that brings everything metrics lack; None where they lack nothing.

    Models are left out: they are large, and one is enough.
    """
    names = [
        one.fetch for one in findings if one.fetch and not one.ok and one.what.startswith("metric ")
    ]
    return f"libra-bench fetch {' '.join(dict.fromkeys(names))}" if names else None


def _packages() -> Iterator[Finding]:
    required = ("torch", "transformers", "pandas", "nltk", "scikit-learn")
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in required)
    yield Finding(f"libra_bench {__version__}", True, versions)
    for module, (use, command) in OPTIONAL.items():
        there = importlib.util.find_spec(module) is not None
        found = f"installed, for {use}" if there else f"absent; only for {use}"
        yield Finding(module, there, found, None if there else command)


def _device() -> Iterator[Finding]:
    import torch

    count = torch.cuda.device_count()
    names = ", ".join(torch.cuda.get_device_name(index) for index in range(count))
    yield Finding(
        "GPU",
        count > 0,
        names or f"none; {os.cpu_count()} CPU cores serve libra-tiny and scoring",
        None if count else "a CUDA GPU and a CUDA build of torch, for the 3B and 7B models",
    )


def _java() -> Iterator[Finding]:
    program = shutil.which("java")
    if program is None:
        mend = "apt-get install default-jre-headless"
        yield Finding("Java", False, "absent; only for the coco profile", mend)
        return
    answer = subprocess.run(
        [program, "-version"], capture_output=True, text=True, check=False, timeout=60
    )
    yield Finding("Java", answer.returncode == 0, (answer.stderr or "").partition("\n")[0])


def _corpora() -> Iterator[Finding]:
    from libra_bench.data.corpora import mimic_cxr, synthetic

    place = synthetic.place()
    found = str(place) if place.is_dir() else "made on first use"
    yield Finding("data synthetic", True, found)
    root = os.environ.get(mimic_cxr.PLACE)
    there = root is not None and (Path(root) / mimic_cxr.SPLIT_FILE).is_file()
    yield Finding(
        "data mimic-cxr",
        there,
        str(root)
        if there
        else f"not found in ${mimic_cxr.PLACE}; or name it: --data mimic-cxr:DIR",
        None if there else mimic_cxr.PAGE,
    )


def _models() -> Iterator[Finding]:
    from libra_bench.model import places, zoo

    for entry in zoo.ZOO.values():
        if entry.kind == "baseline":
            continue
        gaps = places.lacking(entry)
        yield Finding(
            f"model {entry.name}",
            not gaps,
            "; ".join(gap.what for gap in gaps) or str(zoo.is_present(entry)),
            "; ".join(dict.fromkeys(gap.mend for gap in gaps)) or None,
            gaps[0].fetch if gaps else None,
        )


def _metrics() -> Iterator[Finding]:
    from libra_bench.metrics import registry

    for profile in registry.PROFILES:
        for name in registry.names(profile):
            label = f"metric {name} ({profile})"
            gap = registry.create(name, profile).gap()
            if gap is None:
                yield Finding(label, True, "ready")
            else:
                # What fetching alone does not mend is the user's to do.
                fetch = gap.fetch if gap.also is None else None
                yield Finding(label, False, gap.what, gap.mend, fetch)
