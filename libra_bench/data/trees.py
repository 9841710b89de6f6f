"""Folders and archives of reports: what lies in them is read, and nothing that they point at."""

from __future__ import annotations

import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from libra_bench.core.errors import InputError

LARGEST = 16 << 20
"""Bytes of one report; the longest ones have some ten thousand."""
_BROKEN = (
    *(OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, zlib.error),
    *(RuntimeError, NotImplementedError, ValueError),  # Passwords, unknown packings, bad headers.
)
Wanted = Callable[[str], bool]


def files_of(place: Path, wanted: Wanted) -> Iterator[tuple[str, str, bytes | Path]]:
    """(name, where, content or file) of every wanted file below a folder or in an archive.

    A folder is read by name, an archive as it lies. The folder itself may be a link.

    Raises:
        InputError: no such place, a broken archive; a wanted name that is a link out, a pipe, a
            device or the like, or that holds more than any report does.
    """
    if place.is_dir():
        for file in walk(place, wanted):
            yield file.name, str(file), file
        return
    try:
        reader = _in_zip if zipfile.is_zipfile(place) else _in_tar
        yield from reader(place, wanted)
    except _BROKEN as error:
        raise InputError(f"{place}: neither a folder nor an archive ({error})") from None


def walk(root: Path, wanted: Wanted) -> Iterator[Path]:
    """Every wanted file below `root`, by name.

    Links are followed as far as they stay below the root; one that stands directly in the root
    (`files` on another disk) is taken as a part of it.

    Raises:
        InputError: a link that leads out, or what is no file.
    """
    base = root.resolve()
    with os.scandir(root) as entries:
        parts = [base, *(Path(one.path).resolve() for one in entries if one.is_symlink())]
    yield from _walk(root, wanted, parts, ())


def inside(file: Path, root: Path) -> Path:
    """`file` where it is an ordinary file below `root`, by the rules of `walk`.

    Raises:
        InputError: it leads out, or is a pipe, a device or the like.
    """
    first = root / file.relative_to(root).parts[0]
    _require(file, [root.resolve(), first.resolve()])
    return file


def _walk(
    folder: Path, wanted: Wanted, parts: list[Path], above: tuple[Path, ...]
) -> Iterator[Path]:
    own = folder.resolve()
    if own in above:  # A link to a folder that it lies in has no end.
        return
    with os.scandir(folder) as entries:
        found = sorted((entry.name, entry.is_dir()) for entry in entries)
    for name, is_folder in found:
        path = folder / name
        if is_folder:
            if any(path.resolve().is_relative_to(part) for part in parts):
                yield from _walk(path, wanted, parts, (*above, own))
        elif wanted(name):
            _require(path, parts)
            yield path


def _require(path: Path, parts: list[Path]) -> None:
    real = path.resolve()
    if not any(real.is_relative_to(part) for part in parts):
        raise InputError(f"{path}: a link that leads out of its folder")
    try:
        seen = real.stat()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    if not stat.S_ISREG(seen.st_mode):
        raise InputError(f"{path}: a pipe, a device or the like, not a file")
    if seen.st_size > LARGEST:
        raise InputError(f"{path}: {seen.st_size:,} bytes are no report")


def _in_zip(place: Path, wanted: Wanted) -> Iterator[tuple[str, str, bytes | Path]]:
    with zipfile.ZipFile(place) as archive:
        for member in archive.infolist():
            if wanted(member.filename):
                yield member.filename, f"{place}: {member.filename}", read_member(archive, member)


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """A zip's file.

    Raises:
        InputError: a link, more bytes than any report has, or what cannot be unpacked.
    """
    where = f"{archive.filename}: {member.filename}"
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise InputError(f"{where}: a link or the like, not a file")
    # What the directory says of the size may be false.
    try:
        with archive.open(member) as stream:
            content = stream.read(LARGEST + 1)
    except _BROKEN as error:
        raise InputError(f"{where}: cannot be unpacked ({error})") from None
    if len(content) > LARGEST:
        raise InputError(f"{where}: more than {LARGEST:,} bytes are no report")
    return content


def _in_tar(place: Path, wanted: Wanted) -> Iterator[tuple[str, str, bytes | Path]]:
    with tarfile.open(place, "r|*") as archive:
        for member in archive:
            if wanted(member.name) and not member.isdir():
                where = f"{place}: {member.name}"
                if not member.isreg():
                    raise InputError(f"{where}: a link, a pipe or a device, not a file")
                if member.size > LARGEST:
                    raise InputError(f"{where}: {member.size:,} bytes are no report")
                stream = archive.extractfile(member)
                yield member.name, where, stream.read() if stream else b""
            # tarfile remembers every member it has passed.
            archive.members.clear()  # type: ignore[attr-defined]
