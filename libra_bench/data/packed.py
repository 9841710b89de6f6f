"""Images inside Parquet files, as the Hugging Face library stores them.

An example names one as `DIR/test-00000-of-00016.parquet/COLUMN/ROW-PLACE`: the file, its column of
images, the row from 0 and the image's place in that row. It is unpacked into the cache when it is
first asked for, together with its row group, so that a run over a few studies unpacks a few. A
checksum beside each binds it to its name; what does not fit is unpacked again.
"""

from __future__ import annotations

import re
import warnings
from hashlib import sha256
from pathlib import Path
from typing import Any

from libra_bench.core.cache import cache_dir, use_stand_in
from libra_bench.core.content import content_hash
from libra_bench.core.errors import InputError, Notice, OutputError
from libra_bench.core.files import sha256_of_text, write_atomic

MEMBER = re.compile(r"(.+\.parquet)/([^/]+)/(\d+)-(\d+)")


def name(parquet: str, column: str, row: int, place: int = 0) -> str:
    """How an example names an image of a row."""
    return f"{parquet}/{column}/{row}-{place}"


def unpack(root: Path, relative: str) -> Path | None:
    """The image's file in the cache; None where the name is not that of a packed image.

    Raises:
        InputError: no such row, column or image in the file.
    """
    match = MEMBER.fullmatch(relative)
    if match is None or not (root / match[1]).is_file():
        return None
    parquet = root / match[1]
    column, row, place = match[2], int(match[3]), int(match[4])
    # Another file under the same name has another folder in the cache.
    state = parquet.stat()
    identity = f"{parquet.resolve()} {state.st_size} {state.st_mtime_ns} {column}"
    key = sha256_of_text(identity)[:20]
    wanted = cache_dir("packed", key) / f"{row}-{place}"
    if _is_whole(wanted):
        return wanted
    if wanted.exists():
        warnings.warn(f"{wanted}: the cache is damaged and is made again", Notice, stacklevel=2)
        wanted.unlink(missing_ok=True)
    try:
        _unpack_group(root, parquet, column, row, wanted.parent)
    except OutputError as error:
        # A full disk: the images of this run are kept elsewhere.
        use_stand_in(str(error))
        wanted = cache_dir("packed", key) / wanted.name
        _unpack_group(root, parquet, column, row, wanted.parent)
    if not _is_whole(wanted):
        raise InputError(f"{parquet}, row {row}: no image {place} in column {column}")
    return wanted


def _is_whole(image: Path) -> bool:
    """Whether an image of the cache is the one that was written under its name."""
    try:
        return _sum_of(image).read_bytes() == _checksum(image, content_hash(image))
    except OSError:
        return False


def _keep(image: Path, content: bytes) -> None:
    write_atomic(image, content)
    write_atomic(_sum_of(image), _checksum(image, sha256(content).hexdigest()))


def _sum_of(image: Path) -> Path:
    return image.with_name(f"{image.name}.sha256")


def _checksum(image: Path, content: str) -> bytes:
    # The folder stands for the file and its column.
    return sha256_of_text(f"{image.parent.name}/{image.name} {content}\n").encode()


def _unpack_group(root: Path, parquet: Path, column: str, row: int, folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(parquet) as file:
            if column not in file.schema_arrow.names:
                raise InputError(f"{parquet}: no column {column}")
            first = 0
            for group in range(file.metadata.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                if row < first + rows:
                    values = file.read_row_group(group, columns=[column])[column]
                    break
                first += rows
            else:
                raise InputError(f"{parquet}: row {row} of {first}")
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{parquet}: cannot be read ({error})") from None
    for number, value in enumerate(values, start=first):
        try:
            _unpack_row(root, parquet, value.as_py(), folder / str(number))
        except (OSError, ValueError, TypeError, AttributeError):
            # A row that cannot be unpacked costs itself, and is told of when it is asked for.
            if number == row:
                raise


def _unpack_row(root: Path, parquet: Path, cell: Any, target: Path) -> None:
    for place, image in enumerate(images_of(cell)):
        content = image.get("bytes")
        beside = parquet.parent / str(image.get("path"))
        if content is None and beside.resolve().is_relative_to(root.resolve()):
            content = beside.read_bytes() if beside.is_file() else None
        if content is not None:
            _keep(target.with_name(f"{target.name}-{place}"), content)


def images_of(value: Any) -> list[dict[str, Any]]:
    """The images of a cell: one, a list, or none."""
    if value is None:
        return []
    return [one for one in (value if isinstance(value, list) else [value]) if one is not None]
