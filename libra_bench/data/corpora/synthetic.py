"""The built-in synthetic cohort: written once into the cache, read like MIMIC-CXR."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from libra_bench.core.files import cache_dir
from libra_bench.data.cohort import Cohort
from libra_bench.data.corpora import mimic_cxr

PATIENTS, SEED = 120, 0


def load(path: str, *, split: str | None, prior_policy: str | None, section: str) -> Cohort:
    """The cohort with the package's own size and seed; `synthetic:DIR` reads another one."""
    root = Path(path) if path else built_in()
    cohort = mimic_cxr.load(str(root), split=split, prior_policy=prior_policy, section=section)
    cohort.name = "synthetic"
    return cohort


def place() -> Path:
    """Where the built-in cohort is, or will be once it is used."""
    from libra_bench.data.synthetic.writer import VERSION

    return cache_dir("synthetic") / f"v{VERSION}-{PATIENTS}-{SEED}"


def built_in() -> Path:
    """The folder of the built-in cohort, written first where it is not in the cache."""
    from libra_bench.data.synthetic.writer import synthesize

    chosen = place()
    if chosen.is_dir():
        return chosen
    building = Path(tempfile.mkdtemp(dir=chosen.parent, prefix=".building-"))
    try:
        synthesize(building / "cohort", PATIENTS, SEED, workers=min(os.cpu_count() or 1, 8))
        # Whole or not at all; another process may have been quicker, and wrote the same bytes.
        if not chosen.is_dir():
            (building / "cohort").rename(chosen)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return chosen
