"""The built-in synthetic cohort: written once into the cache, read like MIMIC-CXR."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from libra_bench.core.cache import cache_dir, cache_place
from libra_bench.core.errors import RunError
from libra_bench.core.files import sha256_of, write_atomic
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
    return cache_place("synthetic") / _name()


def built_in() -> Path:
    """The folder of the built-in cohort, written first where it is not whole in the cache."""
    from libra_bench.data.synthetic.writer import synthesize

    if _is_whole(place()):
        return place()
    chosen = cache_dir("synthetic") / _name()
    building = Path(tempfile.mkdtemp(dir=chosen.parent, prefix=".building-"))
    try:
        made = building / "cohort"
        synthesize(made, PATIENTS, SEED, workers=min(os.cpu_count() or 1, 8))
        sums = "".join(f"{line}\n" for line in _sums(made))
        # Another process may have been quicker, and wrote the same bytes.
        if not _is_whole(chosen):
            if chosen.exists():
                chosen.rename(building / "damaged")
            write_atomic(_list_of(chosen), sums)
            with suppress(OSError):
                made.rename(chosen)
        if not _is_whole(chosen):
            raise RunError(f"{chosen}: the synthetic cohort cannot be kept in the cache")
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return chosen


def _name() -> str:
    from libra_bench.data.synthetic.writer import VERSION

    return f"v{VERSION}-{PATIENTS}-{SEED}"


def _list_of(cohort: Path) -> Path:
    """The list of a cohort's files, beside it."""
    return cohort.with_name(f"{cohort.name}.sha256")


def _is_whole(cohort: Path) -> bool:
    """Whether a cohort has every file that was written, as it was written.

    What a missing report or a half image would give are other figures, not an error.
    """
    try:
        listed = _list_of(cohort).read_text(encoding="utf-8").splitlines()
        return cohort.is_dir() and listed == _sums(cohort)
    except (OSError, UnicodeDecodeError):
        return False


def _sums(cohort: Path) -> list[str]:
    files = (file for file in sorted(cohort.rglob("*")) if file.is_file())
    return [f"{sha256_of(file)}  {file.relative_to(cohort)}" for file in files]
