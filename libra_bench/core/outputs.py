"""Outputs: looked at before the first byte, and written by one process at a time."""

from __future__ import annotations

import errno
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from libra_bench.core.errors import InputError, Notice, OutputError, writing
from libra_bench.core.files import is_leftover, write_atomic
from libra_bench.core.special import kind_of, refuse_special

UNFINISHED = ".unfinished"
"""Lies in a folder until its last byte is written; another start begins it again."""

_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP)
PRIVATE = 0o700
"""Of new folders that hold report text: their owner alone reads them."""


def check_file(
    path: Path,
    *,
    option: str = "--output",
    inputs: Iterable[Path | None] = (),
    ours: Callable[[Path], bool] | None = None,
    force: bool = False,
) -> None:
    """Refuse a file that must not, or cannot, be written; nothing is touched.

    Args:
        inputs: files that the same command reads.
        ours: tells whether the file that is there was made by this command, and may be replaced;
            None where the caller sees to that itself.
        force: replace whatever file is there.

    Raises:
        InputError: a link, a device, a pipe or a folder; an input; another's file; or a place
            where nothing can be written.
    """
    refuse_special(path, option)
    _refuse_inputs(path, option, inputs)
    _require_writable(path, option)
    if ours is None or force or not path.exists():
        return
    try:
        mine = ours(path)
    except (InputError, OSError, ValueError):
        mine = False
    if not mine:
        raise InputError(
            f"{option} {path}: a file that this command did not make; "
            "--force replaces it, another name keeps it"
        )


def check_folder(
    path: Path, *, option: str = "--output", inputs: Iterable[Path | None] = ()
) -> None:
    """Refuse a folder that must not, or cannot, be written into; nothing is touched.

    Raises:
        InputError: something else than a folder, an input, or a place that cannot be written.
    """
    if path.exists() or path.is_symlink():
        if not path.is_dir():
            raise InputError(
                f"{option} {path}: a folder was expected, and this is {kind_of(path) or 'a file'}; "
                f"another {option} keeps it"
            )
        if not os.access(path, os.W_OK | os.X_OK):
            raise InputError(f"{option} {path}: the folder cannot be written")
    _refuse_inputs(path, option, inputs)
    _require_writable(path, option)


def holds_something(folder: Path) -> bool:
    """Whether anything but locks and what a kill left half-written lies in a folder."""
    return folder.exists() and any(not is_leftover(one) for one in folder.iterdir())


def clear_leftovers(folder: Path) -> None:
    """Take away what a kill left half-written; for the one process that writes there."""
    for path in folder.glob(".*.part"):
        if is_leftover(path):
            path.unlink(missing_ok=True)


def require_empty(folder: Path, hint: str = "", inputs: Iterable[Path | None] = ()) -> None:
    """Refuse a folder that is not empty or absent.

    Args:
        hint: what to do instead.

    Raises:
        InputError: as `check_folder`, or something lies in it.
    """
    check_folder(folder, inputs=inputs)
    if holds_something(folder):
        raise InputError(f"{folder} is not empty{hint}")


@contextmanager
def whole_or_again(folder: Path, says: str) -> Iterator[None]:
    """Marks a folder as unfinished while it is written, so that another start may begin it again.

    Args:
        says: the mark's content, by which the command knows its own.
    """
    mark = folder / UNFINISHED
    write_atomic(mark, says)
    yield
    mark.unlink()


def is_unfinished(folder: Path, says: str, ours: Iterable[str]) -> bool:
    """Whether a folder holds what a command was interrupted in, and nothing else.

    Args:
        says: the content of the command's own mark; other programs have files of this name.
        ours: names of the files and folders that the command writes.
    """
    mark = folder / UNFINISHED
    if kind_of(mark) or not mark.is_file() or mark.read_bytes() != says.encode():
        return False
    names = {UNFINISHED, *ours}
    return all(
        (one.name in names and not one.is_symlink()) or is_leftover(one) for one in folder.iterdir()
    )


def starts_with(path: Path, *marks: bytes) -> bool:
    """Whether a file begins with one of some texts: how a command knows a file that it made."""
    with path.open("rb") as stream:
        head = stream.read(max(map(len, marks)))
    return any(head.startswith(mark) for mark in marks)


def private_folder(folder: Path) -> None:
    """Make a folder that its owner alone reads; one that is there stays as it is."""
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            folder.mkdir(mode=PRIVATE)


@contextmanager
def sole_writer(output: Path) -> Iterator[None]:
    """Hold an output, a folder that is there or a file, against every other process.

    The lock is a file that the system releases when this process ends, however it ends: `.lock`
    in a folder, `.NAME.lock` beside a file. Where the file system knows no locks a notice says
    so, and the work goes on.

    Raises:
        InputError: another process writes there.
        OutputError: the lock cannot be written.
    """
    release = hold(output)
    try:
        yield
    finally:
        release()


def hold(output: Path) -> Callable[[], None]:
    """`sole_writer` for what is no block: the function that is returned ends it."""
    from filelock import FileLock, Timeout

    file = output / ".lock" if output.is_dir() else output.with_name(f".{output.name}.lock")
    lock = FileLock(file, timeout=0, fallback_to_soft=False)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise InputError(
            f"{output}: another process is writing there; wait for it, or choose another --output"
        ) from None
    except NotImplementedError as error:
        _tell_no_locks(output, error)
        return lambda: None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise OutputError(f"{file}: cannot be written ({error.strerror or error})") from error
        _tell_no_locks(output, error)
        return lambda: None

    def release() -> None:
        # While it is held: whoever opened the old file sees that it has no name any more.
        with suppress(OSError):
            file.unlink(missing_ok=True)
        lock.release()

    return release


def _tell_no_locks(output: Path, error: Exception) -> None:
    warnings.warn(
        f"{output}: this file system has no locks ({error}); see to it that nothing else "
        "writes there",
        Notice,
        stacklevel=3,
    )


def _refuse_inputs(path: Path, option: str, inputs: Iterable[Path | None]) -> None:
    for one in inputs:
        if one is not None and _same(path, one):
            raise InputError(f"{option} {path}: an input of this command, which it must not change")


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except (OSError, ValueError):
        return one.absolute() == other.absolute()


def _require_writable(path: Path, option: str) -> None:
    """Refuse a path below what is no folder, or in one that cannot be written."""
    try:
        above = next(one for one in path.absolute().parents if one.exists())
    except OSError as error:
        raise InputError(f"{option} {path}: {error.strerror or error}") from None
    if not above.is_dir():
        raise InputError(f"{option} {path}: {above} is not a folder")
    if not path.is_dir() and not os.access(above, os.W_OK | os.X_OK):
        raise InputError(f"{option} {path}: {above} cannot be written")
