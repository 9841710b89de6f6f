"""Parquet files, read whole on the calling thread."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from libra_bench.core.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa


def read_parquet(path: Path, content: bytes | None = None) -> pa.Table:
    """The table of a Parquet file.

    Arrow's scanner, which `pyarrow.parquet.read_table` and `pandas.read_parquet` use, leaves work
    to its threads that outlives the call; where the process ends meanwhile, it is aborted or never
    ends (apache/arrow issues 33975, 34314, 50482). So the scanner is not used.

    Args:
        content: what was read from `path` already; None to read it.

    Raises:
        InputError: it cannot be read, or is no Parquet file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path if content is None else pa.BufferReader(content)) as file:
            return file.read(use_threads=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or (str(error).splitlines() or [""])[0]
        raise InputError(f"{path}: not a Parquet table ({said})") from None
