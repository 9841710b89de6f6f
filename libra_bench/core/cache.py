"""The cache folder: anything in it can be made again, so that none of its faults stops work."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import warnings
from pathlib import Path

from libra_bench.core.errors import Notice

VARIABLE = "LIBRA_BENCH_CACHE"


def cache_place(*parts: str) -> Path:
    """Where a part of the cache is or would be; nothing is created."""
    from platformdirs import user_cache_path

    root = os.environ.get(VARIABLE)
    return (Path(root) if root else user_cache_path("libra_bench")).joinpath(*parts)


def cache_dir(*parts: str) -> Path:
    """A folder of the cache (`LIBRA_BENCH_CACHE` overrides its root), created on demand.

    Where the cache cannot be written, a temporary folder stands in for it until this process
    ends, for the processes that it starts as well, and a notice says so.
    """
    path = cache_place(*parts)
    try:
        path.mkdir(parents=True, exist_ok=True)
        if os.access(path, os.W_OK | os.X_OK):
            return path
        reason = "not writable"
    except OSError as error:
        reason = error.strerror or str(error)
    use_stand_in(reason)
    path = cache_place(*parts)
    path.mkdir(parents=True, exist_ok=True)
    return path


def use_stand_in(reason: str) -> None:
    """Let a temporary folder be the cache, as `cache_dir` does; for who finds it cannot be used."""
    root = cache_place()
    stand_in = tempfile.mkdtemp(prefix="libra-bench-cache-")
    atexit.register(shutil.rmtree, stand_in, ignore_errors=True)
    os.environ[VARIABLE] = stand_in
    warnings.warn(
        f"the cache {root} cannot be used ({reason}); what is cached lasts for this run only "
        f"(${VARIABLE} names another folder)",
        Notice,
        stacklevel=3,
    )
