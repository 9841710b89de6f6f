"""PhysioNet's `SHA256SUMS.txt` against the files that are there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TextIO

from libra_bench.core.content import file_state
from libra_bench.core.errors import InputError, MissingResourceError
from libra_bench.core.files import listing, sha256_of, sha256_of_text
from libra_bench.data.parallel import default_workers, in_order

SUMS_FILE = "SHA256SUMS.txt"
LINE = re.compile(r"([0-9a-f]{64}) [ *](\S.*)")


class Checked(NamedTuple):
    """Files whose sums agree, and those that are listed but not there."""

    same: int
    absent: int


def check(
    root: Path,
    log: Path | None = None,
    *,
    workers: int | None = None,
    on_file: Callable[[int], None] = lambda done: None,
) -> Checked:
    """Compare every listed file that is there; many people hold a part of the collection only.

    Args:
        log: what was found right, by checksums of the line and of the file's size and times;
            files in it are not read again, so that a check that was interrupted goes on where it
            stopped. Where it cannot be used nothing is kept.
        on_file: is told how many lines of the list are done.

    Raises:
        MissingResourceError: no list.
        InputError: files that differ and lines that are none, all together.
    """
    known = _read(log)
    faults: list[str] = []
    same = absent = 0

    def compare(entry: tuple[int, str, str]) -> tuple[int, str, str, bool | None]:
        number, wanted, name = entry
        path = root / name
        if not path.is_file():
            return number, name, "", None
        kept = sha256_of_text(f"{wanted}  {name}\n{file_state(path)}")
        return number, name, kept, kept in known or sha256_of(path) == wanted

    with ThreadPoolExecutor(workers or default_workers()) as pool:
        stream = _appending(log)
        try:
            for number, name, kept, right in in_order(
                pool, compare, _listed(root, faults), ahead=64
            ):
                same += right is True
                absent += right is None
                if right is False:
                    faults.append(f"row {number}: another checksum than that of {name}")
                elif right and stream and kept not in known:
                    stream = _appended(stream, kept)
                on_file(number)
        finally:
            if stream:
                with suppress(OSError):
                    stream.close()
    if faults:
        raise InputError(f"{root / SUMS_FILE}: {listing(faults)}")
    return Checked(same, absent)


def _read(log: Path | None) -> set[str]:
    try:
        return set(log.read_text(encoding="utf-8").splitlines()) if log else set()
    except (OSError, UnicodeDecodeError):
        return set()


def _appending(log: Path | None) -> TextIO | None:
    try:
        return log.open("a", encoding="utf-8") if log else None
    except OSError:
        return None


def _appended(stream: TextIO, line: str) -> TextIO | None:
    """The stream with a line more; None where no more can be kept."""
    try:
        stream.write(f"{line}\n")
    except OSError:
        with suppress(OSError):
            stream.close()
        return None
    return stream


def _listed(root: Path, faults: list[str]) -> Iterator[tuple[int, str, str]]:
    path = root / SUMS_FILE
    if not path.is_file():
        raise MissingResourceError(f"no {path}", "download it with the collection from PhysioNet")
    with path.open(encoding="utf-8", errors="replace") as stream:
        for number, line in enumerate(stream, start=1):
            match = LINE.fullmatch(line.rstrip("\n"))
            if match and ".." not in Path(match[2]).parts and not Path(match[2]).is_absolute():
                yield number, match[1], match[2]
            elif line.strip():
                faults.append(f"row {number}: no checksum and file name")
