"""Repositories and files of the hub on this machine; nothing is downloaded here.

Looked for in `LIBRA_BENCH_MODELS` (as `OWNER/NAME` or `NAME`), then in the Hugging Face cache.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

MODELS = "LIBRA_BENCH_MODELS"
"""The variable that names a folder of repositories, beside the hub's own cache."""
MARKERS = ("config.json", "open_clip_config.json")
"""One of these lies in every repository of a model."""


@dataclass(frozen=True)
class Source:
    """What is read of a repository.

    Attributes:
        name: `OWNER/NAME` or `NAME`, as the hub knows it, with `@REVISION` where one was named.
        files: the files, by name; empty for what loading a model reads.
        weights: whether the weights are read; else only configuration and tokenizer.
    """

    name: str
    files: tuple[str, ...] = ()
    weights: bool = True

    @property
    def repository(self) -> str:
        """The name without its revision."""
        return self.name.partition("@")[0]

    @property
    def revision(self) -> str | None:
        """The revision that was named; None for the newest."""
        return self.name.partition("@")[2] or None


_ASKED: ContextVar[list[Source] | None] = ContextVar("asked", default=None)


@contextmanager
def asked() -> Iterator[list[Source]]:
    """All that is looked for inside, in order and each once, whether it is here or not.

    So that nobody has to list a second time which repositories a model or a metric reads.
    """
    found: list[Source] = []
    token = _ASKED.set(found)
    try:
        yield found
    finally:
        _ASKED.reset(token)


def folder(
    name: str,
    *,
    weights: bool = True,
    instead: bool = False,
    markers: Sequence[str] = MARKERS,
) -> Path | None:
    """The folder of a repository; None where it is not on this machine.

    Args:
        name: as of `Source`.
        weights: as of `Source`; only told to `asked`.
        instead: whether it only stands in for another one, of which `asked` was told.
        markers: files, one of which must be there.
    """
    source = Source(name, weights=weights)
    if not instead:
        _note(source)
    for place in _own_folders(source):
        if any((place / marker).is_file() for marker in markers):
            return place
    found = (cached_file(source, marker) for marker in markers)
    return next((one.parent for one in found if one is not None), None)


def file(name: str, path: str) -> Path | None:
    """One file of a repository; None where it is not on this machine."""
    source = Source(name, (path,))
    _note(source)
    for place in _own_folders(source):
        if (place / path).is_file():
            return place / path
    return cached_file(source, path)


def is_name(name: str) -> bool:
    """Whether the hub could know something by this name."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(Source(name).repository)
    except HFValidationError:
        return False
    return True


def commit_of(path: Path) -> str | None:
    """The commit of a folder or file in the hub's cache; None for what lies elsewhere."""
    for one in (path, *path.parents):
        if one.parent.name == "snapshots" and one.parent.parent.name.startswith("models--"):
            return one.name
    return None


def _note(source: Source) -> None:
    found = _ASKED.get()
    if found is not None and source not in found and is_name(source.name):
        found.append(source)


def _own_folders(source: Source) -> list[Path]:
    root = os.environ.get(MODELS)
    if not root or source.revision is not None:
        return []  # A folder says nothing of its revision.
    return [Path(root) / source.repository, Path(root) / source.repository.rpartition("/")[2]]


def cached_file(source: Source, path: str) -> Path | None:
    """A file in the Hugging Face cache alone."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(source.repository, path, revision=source.revision)
    except HFValidationError:
        return None  # A folder of another machine, no repository's name.
    return Path(found) if isinstance(found, str) else None
