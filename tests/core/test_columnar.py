"""Parquet read on the calling thread alone: the same table, no thread that outlives the call."""

import re
from pathlib import Path

import pandas as pd
import pytest

import libra_bench
from libra_bench.core.columnar import read_parquet
from libra_bench.core.errors import InputError

PACKAGE = Path(libra_bench.__file__).parent


def test_the_same_as_pandas(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"id": ["a", None], "n": [1, 2], "x": [0.5, float("nan")], "b": [True, False]}
    )
    frame.to_parquet(tmp_path / "t.parquet", index=False)
    for content in (None, (tmp_path / "t.parquet").read_bytes()):
        found = read_parquet(tmp_path / "t.parquet", content).to_pandas()
        pd.testing.assert_frame_equal(found, pd.read_parquet(tmp_path / "t.parquet"))


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1 and no more PAR1", b"x" * 100])
def test_no_parquet(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.parquet").write_bytes(content)
    for given in (None, content):
        with pytest.raises(InputError, match=r"t\.parquet: not a Parquet table \("):
            read_parquet(tmp_path / "t.parquet", given)
    with pytest.raises(InputError, match=r"none\.parquet: not a Parquet table .*No such file"):
        read_parquet(tmp_path / "none.parquet")


def test_nothing_else_reads_parquet_or_python_streams_on_arrows_threads() -> None:
    """The process would be aborted at its end, by chance: no test of one run can find that."""
    scanner = re.compile(r"(pq|parquet)\.read_table\(|(pd|pandas)\.read_parquet\(|\bds\.dataset\(")
    stream = re.compile(r"arrow\.read_csv\(\s*(?!pa\.BufferReader)\S")
    for path in sorted(PACKAGE.rglob("*.py")):
        code = re.sub(r'"""[\s\S]*?"""|#[^\n]*', "", path.read_text())
        assert not scanner.search(code), path
        assert not stream.search(code), path
