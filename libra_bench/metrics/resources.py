"""Finding the models of metrics, and telling those that are missing or damaged.

Nothing is downloaded here: a model is a folder, or a repository's name that is on this machine.
Finding reads no weights, so that a wrong path is told before any work.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from libra_bench.core.errors import InputError, MissingResourceError, cause_of
from libra_bench.core.files import sha256_of
from libra_bench.hub import lookup

WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
TOKENIZER_FILES = (
    *("tokenizer.json", "vocab.txt", "vocab.json", "tokenizer.model", "spiece.model"),
    *("spm.model", "sentencepiece.bpe.model"),
)
"""One of these holds the words of a tokenizer."""


_FOR_PEOPLE = ("readme", "license", "licence", "notice", "citation", "copying", "changelog")
_NEVER_READ = frozenset(
    (
        *(".md", ".rst", ".html", ".pdf", ".png", ".jpg", ".jpeg", ".gif", ".svg"),
        *(".h5", ".msgpack", ".ot", ".onnx", ".tflite", ".gguf"),
    )
)


class DamagedModelError(MissingResourceError):
    """A metric's model is here and cannot be used: what it would score is no figure.

    Args:
        option: the metric option that names it.
        fault: what is wrong, with the file.
    """

    def __init__(self, option: str, fault: str) -> None:
        super().__init__(
            f"{option}: {fault}", f"a whole copy of the model, named by --metric-option {option}=…"
        )


@contextmanager
def using(option: str, place: object) -> Iterator[None]:
    """Around the loading of a model: whatever is raised over its files is told as damage.

    Raises:
        DamagedModelError: anything was raised.
        MissingResourceError: as it was.
    """
    try:
        yield
    except MissingResourceError:
        raise
    except InputError as error:
        raise DamagedModelError(option, str(error)) from error
    except Exception as error:
        raise DamagedModelError(option, f"{place} cannot be used ({cause_of(error)})") from error


def gaps(*finders: Callable[[], object]) -> list[MissingResourceError]:
    """What is missing, all together: each finder is called and may raise one."""
    found = []
    for finder in finders:
        try:
            finder()
        except MissingResourceError as gap:
            found.append(gap)
    return found


def model_folder(option: str, name: str, *, weights: bool = True) -> Path:
    """The folder of a model that is given as a folder or as a name of the Hugging Face hub.

    Args:
        option: the metric option that names it, for example `bertscore.model`.
        weights: whether the folder must hold weights; else tokenizer and configuration do.

    Raises:
        MissingResourceError: there is no such folder, nothing of that name in the local Hugging
            Face cache, or the folder is not complete.
    """
    otherwise, fetch = f"--metric-option {option}=DIR", lookup.is_name(name)
    with using(option, name):
        folder = Path(name).expanduser()
        if not folder.is_dir():
            if folder.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
                raise MissingResourceError(
                    f"{option}: there is no folder {name}", f"--metric-option {option}=DIR"
                )
            folder = lookup.folder(name, weights=weights) or folder
        else:
            otherwise = f"a whole copy of the model, named by --metric-option {option}=DIR"
            fetch = False
        kinds = ", ".join(TOKENIZER_FILES)
        for there, fault in (
            (
                folder.is_dir(),
                f"{name} is not on this machine" if fetch else f"no folder {name!r}",
            ),
            ((folder / "config.json").is_file(), f"{folder} holds no config.json"),
            (
                not weights or _holds(folder, WEIGHT_FILES),
                f"{folder} holds no weights",
            ),
            (
                _holds(folder, TOKENIZER_FILES),
                f"{folder} holds no tokenizer (none of {kinds})",
            ),
        ):
            if not there:
                raise MissingResourceError(f"{option}: {fault}", otherwise, name if fetch else None)
        for file in ("config.json", "tokenizer_config.json", *WEIGHT_FILES):
            if file.endswith(".json") and (folder / file).is_file():
                json_object(folder / file)
    return folder


def _holds(folder: Path, files: Sequence[str]) -> bool:
    return any((folder / file).is_file() for file in files)


def json_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file of a model.

    Raises:
        InputError: the file holds none.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: no JSON that can be read ({cause_of(error)})") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: a JSON object was expected")
    return value


def model_file(option: str, name: str) -> Path:
    """A file of weights, given as a path or as `owner/repository/file` of the Hugging Face hub.

    Raises:
        MissingResourceError: neither the path nor the local Hugging Face cache holds it.
    """
    with using(option, name):
        path = Path(name).expanduser()
        if path.exists():
            return path
        owner, _, rest = name.partition("/")
        repository, _, file = rest.partition("/")
        if not file or path.is_absolute() or owner in (".", "..", "~"):
            raise MissingResourceError(
                f"{option}: there is no {name}", f"--metric-option {option}=FILE"
            )
        cached = lookup.file(f"{owner}/{repository}", file)
        if cached is None:
            raise MissingResourceError(
                f"{option}: {name} is not on this machine",
                f"--metric-option {option}=FILE",
                name,
            )
    return cached


def fingerprint(path: Path) -> str:
    """12 hex digits over a file's bytes, or over names and bytes of a folder's own files.

    What only people read, and weights of other frameworks, change no figure and count for nothing.
    """
    if path.is_file():
        return _digest(path)[:12]
    files = sorted(file for file in path.iterdir() if file.is_file() and _counts(file.name))
    listed = "".join(f"{file.name} {_digest(file)}\n" for file in files)
    return hashlib.sha256(listed.encode()).hexdigest()[:12]


def _counts(name: str) -> bool:
    """Whether a file of a model's folder may change what the model answers."""
    return not (
        name.startswith(".")
        or name.lower().startswith(_FOR_PEOPLE)
        or Path(name).suffix.lower() in _NEVER_READ
    )


def _digest(path: Path) -> str:
    state = path.stat()
    return _digest_of_state(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=256)
def _digest_of_state(path: Path, size: int, changed: int) -> str:
    return sha256_of(path)
