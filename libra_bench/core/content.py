"""What files hold, told by hashes, with no file read twice where that can be helped."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from libra_bench.core.files import sha256_of

REMEMBERED = 16_384
"""Files whose hashes are kept: a prior is asked for soon after, or soon before, its own study."""


def content_hash(path: Path) -> str:
    """The SHA-256 of a file's bytes; read once for as long as the file stays the same.

    Raises:
        OSError: it cannot be read.
    """
    return _hash(str(path), file_state(path))


def file_state(path: Path) -> str:
    """What changes whenever a file's bytes do: device, number, size and times.

    The time of the last change (`ctime`) cannot be set back, as that of the last writing can.

    Raises:
        OSError: there is no such file.
    """
    seen = path.stat()
    return f"{seen.st_dev}:{seen.st_ino}:{seen.st_size}:{seen.st_mtime_ns}:{seen.st_ctime_ns}"


@lru_cache(maxsize=REMEMBERED)
def _hash(path: str, state: str) -> str:
    return sha256_of(Path(path))
