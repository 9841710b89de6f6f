"""Results of models by the content of what they were made of, kept on disk.

The cache is disposable: what is damaged is made again, and where it cannot be read or written the
work goes on without it, with a note.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import warnings
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Generic, TypeVar

from libra_bench.core.errors import Notice, cause_of
from libra_bench.core.files import cache_dir

Value = TypeVar("Value")

_READ_AT_ONCE = 500
_WAIT = 10.0
"""Seconds for which another process may hold the file."""
_CHECK = 16
"""Bytes of the checksum that binds a value to its key."""


class ContentCache(Generic[Value]):
    """Results by the content of what they were made of, on disk, for this run and later ones.

    Args:
        kind: what is stored, with the version of the algorithm: `ratescore-entities-1`.
        depends: everything else that a result depends on: fingerprints of weights, settings.
        pack, unpack: a result to bytes and back; JSON unless given.
    """

    def __init__(
        self,
        kind: str,
        *depends: str,
        pack: Callable[[Value], bytes] = lambda value: json.dumps(value).encode(),
        unpack: Callable[[bytes], Value] = json.loads,
    ) -> None:
        self._name = f"{kind}-{hashlib.sha256(chr(0).join(depends).encode()).hexdigest()[:16]}"
        self._pack, self._unpack = pack, unpack

    def through(
        self,
        keys: Sequence[str],
        compute: Callable[[list[str]], Sequence[Value]],
        *,
        at_once: int = 1024,
    ) -> dict[str, Value]:
        """The result of each distinct key: read where it is known, else computed and kept.

        Args:
            compute: results of distinct keys, in their order; called with at most `at_once` of
                them, and what one call gave is kept even if a later one fails.
        """
        wanted = list(dict.fromkeys(keys))
        store = _Store.opened(self._name)
        with closing(store):
            known = self._read(store, wanted)
            new = sorted((key for key in wanted if key not in known), key=len)
            for start in range(0, len(new), at_once):
                part = new[start : start + at_once]
                results = dict(zip(part, compute(part), strict=True))
                known.update(results)
                store.write([(_hash(key), self._pack(value)) for key, value in results.items()])
        return known

    def _read(self, store: _Store, keys: list[str]) -> dict[str, Value]:
        found: dict[str, Value] = {}
        for start in range(0, len(keys), _READ_AT_ONCE):
            part = {_hash(key): key for key in keys[start : start + _READ_AT_ONCE]}
            for key, value in store.read(list(part)):
                found[part[key]] = self._unpack(value)
        return found


class _Store:
    """A file of bytes by key, or nothing where the file cannot be used."""

    def __init__(self, path: Path | None, connection: sqlite3.Connection | None) -> None:
        self._path, self._connection = path, connection

    @classmethod
    def opened(cls, name: str) -> _Store:
        """The store of that name; a damaged one is made anew."""
        try:
            path = cache_dir("metrics") / f"{name}.sqlite"
        except OSError as error:
            _note(f"metrics: no cache is kept ({cause_of(error)})")
            return cls(None, None)
        for attempt in (1, 2):
            try:
                return cls(path, _connect(path))
            except (sqlite3.Error, OSError) as error:
                if attempt == 2 or not _is_damage(error):
                    _note(f"{path}: the cache is not used ({cause_of(error)})")
                    return cls(None, None)
                _note(f"{path}: the cache is damaged ({cause_of(error)}) and is made again")
                if not _removed(path):
                    return cls(None, None)
        raise AssertionError

    def read(self, keys: list[bytes]) -> list[tuple[bytes, bytes]]:
        """The known ones of `keys` with their values; one that its checksum denies is unknown."""
        if self._connection is None:
            return []
        marks = ",".join("?" * len(keys))
        query = f"SELECT key, value FROM checked WHERE key IN ({marks})"
        try:
            rows = self._connection.execute(query, keys).fetchall()
        except (sqlite3.Error, OSError) as error:
            self._give_up(error)
            return []
        whole = [
            (key, value[_CHECK:])
            for key, value in rows
            if isinstance(value, bytes) and value[:_CHECK] == _checksum(key, value[_CHECK:])
        ]
        if len(whole) < len(rows):
            _note(f"{self._path}: {len(rows) - len(whole)} damaged entries are made again")
        return whole

    def write(self, rows: list[tuple[bytes, bytes]]) -> None:
        """Keep values by their keys."""
        if self._connection is None:
            return
        checked = [(key, _checksum(key, value) + value) for key, value in rows]
        try:
            with self._connection:
                self._connection.executemany(
                    "INSERT OR REPLACE INTO checked VALUES (?, ?)", checked
                )
        except (sqlite3.Error, OSError) as error:
            self._give_up(error)

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()

    def _give_up(self, error: Exception) -> None:
        self.close()
        self._connection = None
        damaged = _is_damage(error) and self._path is not None and _removed(self._path)
        what = "was damaged and is made again by the next run" if damaged else "is not used"
        _note(f"{self._path}: the cache {what} ({cause_of(error)})")


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_WAIT)
    try:
        with connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS checked (key BLOB PRIMARY KEY, value BLOB) "
                "WITHOUT ROWID"
            )
    except BaseException:
        connection.close()
        raise
    return connection


def _is_damage(error: Exception) -> bool:
    # What is locked, full or not to be written is told by a subclass, OperationalError; some
    # damage is as well.
    if not isinstance(error, sqlite3.OperationalError):
        return isinstance(error, sqlite3.DatabaseError)
    return any(word in str(error) for word in ("malformed", "no such column", "no such table"))


def _removed(path: Path) -> bool:
    try:
        for file in (path, path.with_name(path.name + "-journal")):
            file.unlink(missing_ok=True)
    except OSError:
        return False
    return True


def _note(text: str) -> None:
    warnings.warn(text, Notice, stacklevel=5)


def _checksum(key: bytes, value: bytes) -> bytes:
    return hashlib.sha256(key + value).digest()[:_CHECK]


def _hash(text: str) -> bytes:
    # surrogatepass: half a character, as broken files hold it, is content too.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
