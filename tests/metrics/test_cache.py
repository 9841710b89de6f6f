"""The cache of what models answered: disposable, and never believed against its checksums."""

import sqlite3
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from libra_bench.metrics import cache as module
from libra_bench.metrics.cache import ContentCache


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("LIBRA_BENCH_CACHE", str(tmp_path))
    return tmp_path / "metrics"


def lengths(keys: list[str]) -> tuple[dict[str, int], list[str]]:
    """The lengths of keys through a cache, and the keys that were not known."""
    asked: list[str] = []

    def compute(new: list[str]) -> list[int]:
        asked.extend(new)
        return [len(key) for key in new]

    found: dict[str, int] = ContentCache[int]("lengths-1", "any").through(keys, compute)
    return found, asked


KEYS = ["a", "bb", "ccc", "half \ud800", "bb"]
RIGHT = {key: len(key) for key in KEYS}


def file_of(folder: Path) -> Path:
    (path,) = folder.glob("*.sqlite")
    return path


def test_what_is_known_is_not_computed_again(folder: Path) -> None:
    assert lengths(KEYS) == (RIGHT, ["a", "bb", "ccc", "half \ud800"])
    assert lengths(KEYS) == (RIGHT, [])


@pytest.mark.parametrize("damage", ["cut", "garbage", "middle", "empty", "table", "folder"])
def test_a_damaged_file_is_made_again_or_bypassed(folder: Path, damage: str) -> None:
    lengths([*KEYS, *map(str, range(2000))])
    path = file_of(folder)
    data = path.read_bytes()
    if damage == "cut":
        path.write_bytes(data[: len(data) // 2 + 100])
    elif damage == "garbage":
        path.write_bytes(b"no database" * 400)
    elif damage == "middle":
        path.write_bytes(data[:4096] + b"\xff" * (len(data) - 8192) + data[-4096:])
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        path.unlink()
        if damage == "folder":
            path.mkdir()
        else:
            with sqlite3.connect(path) as other:
                other.execute("CREATE TABLE checked (name TEXT)")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert lengths(KEYS)[0] == RIGHT
        assert lengths(KEYS)[0] == RIGHT
    if damage != "folder":
        assert lengths(KEYS) == (RIGHT, [])


def test_a_value_under_another_key_is_not_believed(folder: Path) -> None:
    lengths(KEYS)
    with sqlite3.connect(file_of(folder)) as store:
        rows = store.execute("SELECT key, value FROM checked ORDER BY key").fetchall()
        moved = [(rows[place - 1][1], key) for place, (key, _) in enumerate(rows)]
        store.executemany("UPDATE checked SET value = ? WHERE key = ?", moved)
    with pytest.warns(UserWarning, match="damaged entries"):
        found, asked = lengths(KEYS)
    assert found == RIGHT and len(asked) == 4
    assert lengths(KEYS) == (RIGHT, [])


def test_a_changed_value_is_not_believed(folder: Path) -> None:
    lengths(["aaaa"])
    with sqlite3.connect(file_of(folder)) as store:
        store.execute("UPDATE checked SET value = CAST(substr(value, 1, 16) || '7' AS BLOB)")
    with pytest.warns(UserWarning, match="damaged entries"):
        assert lengths(["aaaa"]) == ({"aaaa": 4}, ["aaaa"])


def test_a_locked_file_is_bypassed_with_a_note(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths(["a"])
    monkeypatch.setattr(module, "_WAIT", 0.05)
    holder = sqlite3.connect(file_of(folder))
    holder.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.warns(UserWarning, match="is not used"):
            assert lengths(KEYS)[0] == RIGHT
    finally:
        holder.close()
    assert lengths(["a"]) == ({"a": 1}, [])


def test_a_folder_that_cannot_be_used_is_bypassed_with_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: str) -> Path:
        raise PermissionError(13, "Permission denied", str(tmp_path))

    monkeypatch.setattr(module, "cache_dir", refused)
    with pytest.warns(UserWarning, match="no cache is kept"):
        assert lengths(KEYS)[0] == RIGHT


def test_a_full_disk_costs_the_cache_and_no_figure(folder: Path) -> None:
    lengths(["a"])
    path = file_of(folder)
    opened = module._connect

    def full(place: Path) -> sqlite3.Connection:
        connection = opened(place)
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
        return connection

    module._connect = full
    try:
        keys = [f"{number}" * 50 for number in range(400)]
        with pytest.warns(UserWarning, match="is not used"):
            assert lengths(keys)[0] == {key: len(key) for key in keys}
    finally:
        module._connect = opened
    assert path.is_file() and lengths(["a"]) == ({"a": 1}, [])


def test_an_error_of_the_work_is_the_callers(folder: Path) -> None:
    def compute(keys: list[str]) -> list[int]:
        if "bb" in keys:
            raise KeyError("work")
        return [1] * len(keys)

    with pytest.raises(KeyError, match="work"):
        ContentCache[int]("lengths-2").through(["a", "bb"], compute, at_once=1)
    found = ContentCache[int]("lengths-2").through(["a"], lambda keys: pytest.fail("asked again"))
    assert found == {"a": 1}
