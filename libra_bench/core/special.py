"""What is no ordinary file, and must be neither replaced nor waited for."""

from __future__ import annotations

import stat
from pathlib import Path

from libra_bench.core.errors import InputError

_KINDS = (
    (stat.S_ISLNK, "a link"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISCHR, "a device"),
)


def kind_of(path: Path) -> str | None:
    """What stands at `path` where it is no ordinary file; None for a file, or for nothing.

    Raises:
        InputError: the path cannot be looked at.
    """
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    return next((name for test, name in _KINDS if test(mode)), None)


def refuse_special(path: Path, option: str = "") -> None:
    """Refuse to replace what is no ordinary file.

    Raises:
        InputError: it is a link, a device, a pipe, a socket or a folder.
    """
    kind = kind_of(path)
    if kind is not None:
        named = f"{option} {path}".strip()
        raise InputError(f"{named}: a file was expected, and this is {kind}")
