"""Repositories as the hub tells of them, and fetching their files into the Hugging Face cache."""

from __future__ import annotations

import errno
import hashlib
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from libra_bench.core.errors import InputError, MissingResourceError, RunError, cause_of
from libra_bench.core.files import sha256_of
from libra_bench.hub import lookup
from libra_bench.hub.lookup import Source
from libra_bench.hub.selection import wanted


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository.

    Attributes:
        size: in bytes.
        digest: `sha256:…` of a large file, `git:…` (of a blob) of a small one.
        here: whether the cache holds it.
    """

    path: str
    size: int
    digest: str
    here: bool


@dataclass(frozen=True)
class Page:
    """A repository at one commit, with the files that are read.

    Attributes:
        licence: as its page states it; None where it states none.
        gated: whether its terms must be accepted first.
    """

    source: Source
    commit: str
    licence: str | None
    gated: bool
    files: tuple[RemoteFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all files that are read."""
        return sum(file.size for file in self.files)

    @property
    def to_fetch(self) -> int:
        """Bytes that are not here yet; of a file that was begun, all of them."""
        return sum(file.size for file in self.files if not file.here)


def cache_folder() -> Path:
    """The Hugging Face cache, as `HF_HOME` and `HF_HUB_CACHE` place it."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE).expanduser()


def read(source: Source) -> Page:
    """What the hub says of a repository.

    Raises:
        InputError: there is no such repository, revision or file, or it may not be read.
        RunError: the hub does not answer.
    """
    from huggingface_hub import HfApi

    with _told(source):
        info = HfApi().model_info(source.repository, revision=source.revision, files_metadata=True)
    siblings = {one.rfilename: one for one in info.siblings or ()}
    chosen = wanted(source, siblings)
    lacking = [name for name in source.files if name not in siblings]
    if lacking or not chosen:
        told = ", ".join(lacking) or "file that is read"
        raise InputError(f"{source.name}: its repository at {_endpoint()} has no {told}")
    commit = str(info.sha)
    files = tuple(_file(source, commit, siblings[name]) for name in chosen)
    card = info.card_data.to_dict() if info.card_data else {}
    licence = card.get("license_name") or card.get("license")
    return Page(source, commit, str(licence) if licence else None, bool(info.gated), files)


def check_room(pages: Sequence[Page]) -> None:
    """Refuse to begin what the disk cannot hold.

    Raises:
        InputError: with both sizes.
    """
    needed, place = sum(page.to_fetch for page in pages), cache_folder()
    there = next(one for one in (place, *place.parents) if one.is_dir())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise InputError(
            f"{size_of(needed)} are to be fetched and {place} has {size_of(free)} free "
            "(HF_HOME names another folder)"
        )


def check_access(page: Page) -> None:
    """Make sure that a gated repository's files may be read.

    Raises:
        MissingResourceError: its terms are not accepted, or nobody is logged in.
    """
    from huggingface_hub import HfApi

    if page.gated and page.to_fetch:
        with _told(page.source):
            HfApi().auth_check(page.source.repository)


def fetch(page: Page) -> Path:
    """Bring a repository's files into the Hugging Face cache; what was begun is continued.

    Returns:
        the folder.

    Raises:
        MissingResourceError: it is gated and may not be read.
        RunError: the hub or the disk failed, or a file is not what the hub says it is; such a
            file is taken away again.
    """
    from huggingface_hub import snapshot_download

    with _told(page.source):
        folder = Path(
            snapshot_download(
                page.source.repository,
                revision=page.source.revision,
                allow_patterns=[_literal(file.path) for file in page.files],
            )
        )
    if folder.name != page.commit:
        raise RunError(f"{page.source.name} changed while it was fetched; fetch it again")
    _verify(page, folder)
    return folder


def size_of(count: int) -> str:
    """Bytes for people, in powers of ten as the hub's pages."""
    value, units = float(count), ("B", "kB", "MB", "GB", "TB")
    for unit in units:
        if value < 999.5 or unit == units[-1]:
            return f"{value:.3g} {unit}"
        value /= 1000
    raise AssertionError


def _file(source: Source, commit: str, sibling: Any) -> RemoteFile:
    lfs = sibling.lfs
    at_commit = Source(f"{source.repository}@{commit}")
    return RemoteFile(
        sibling.rfilename,
        int((lfs.size if lfs else sibling.size) or 0),
        f"sha256:{lfs.sha256}" if lfs else f"git:{sibling.blob_id}",
        lookup.cached_file(at_commit, sibling.rfilename) is not None,
    )


def _literal(path: str) -> str:
    """A pattern that matches one path alone."""
    return "".join(f"[{one}]" if one in "*?[" else one for one in path)


def _verify(page: Page, folder: Path) -> None:
    """Compare each file that was fetched with the hub's hash; the cache keeps none that differs."""
    for file in page.files:
        if file.here:
            continue
        path = folder / file.path
        kind, _, expected = file.digest.partition(":")
        found = sha256_of(path) if kind == "sha256" else _git_blob(path)
        if found != expected:
            path.resolve().unlink()
            path.unlink(missing_ok=True)
            raise RunError(
                f"{page.source.name}: {file.path} is damaged ({kind} {found[:12]} where the hub "
                f"says {expected[:12]}); it was taken away again: fetch it once more"
            )


def _git_blob(path: Path) -> str:
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _endpoint() -> str:
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


@contextmanager
def _told(source: Source) -> Iterator[None]:
    """Around requests to the hub: whatever goes wrong is told on one line, with what mends it."""
    from huggingface_hub import constants, errors

    page = f"{_endpoint()}/{source.repository}"
    if constants.HF_HUB_OFFLINE:
        raise InputError("HF_HUB_OFFLINE forbids the network; unset it to fetch")
    try:
        yield
    except errors.GatedRepoError as error:
        raise MissingResourceError(
            f"{source.repository} is gated, and this machine's account may not read it",
            f"accept its terms at {page}, then `hf auth login` (or set HF_TOKEN)",
        ) from error
    except errors.RevisionNotFoundError as error:
        raise InputError(f"{source.repository} has no revision {source.revision!r}") from error
    except errors.RepositoryNotFoundError as error:
        raise MissingResourceError(
            f"{_endpoint()} knows no repository {source.repository}, or does not show it to "
            "this machine's account",
            "check the name; for a private one, `hf auth login` (or set HF_TOKEN)",
        ) from error
    except (errors.HTTPError, errors.LocalEntryNotFoundError) as error:
        raise RunError(
            f"{page}: {_endpoint()} does not answer as a hub ({cause_of(error)}); what was "
            "fetched is kept, and the same command continues"
        ) from error
    except OSError as error:
        place = cache_folder()
        if error.errno == errno.ENOSPC:
            told = f"{place}: the disk is full; what was fetched is kept"
        else:
            told = f"{source.repository}: {cause_of(error)}"
        raise RunError(f"{told}; the same command continues") from error
