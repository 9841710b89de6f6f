"""Published archives of RadGraph: configuration, labels and weights of a DyGIE++ model."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any

from libra_bench.core.errors import InputError, MissingResourceError
from libra_bench.core.files import sha256_of
from libra_bench.metrics.neural import load_state, refuse_broken
from libra_bench.metrics.resources import model_file, model_folder

if TYPE_CHECKING:
    import torch

FILES, VOCABULARY = ("config.json", "weights.th"), "vocabulary"
NER_LABELS, RELATION_LABELS = "ner_labels", "relation_labels"


@dataclass(frozen=True)
class Archive:
    """What an archive says of its model, without the weights.

    Attributes:
        path: the archive, packed or unpacked.
        dataset: the data that the labels are of, for example `radgraph-xl`; the texts are cut to
            words as that data was.
        labels: by `ner_labels` and `relation_labels`, in the order of the scores.
        encoder: name of the encoder at the Hugging Face hub.
        indexer: the encoder's name inside the model.
        longest: tokens that the encoder reads at once; None for any number.
        widest: words of the longest span.
        spans_per_word: spans that are tried for relations.
        feedforward_layers: hidden layers of each scorer.
    """

    path: Path
    dataset: str
    labels: Mapping[str, tuple[str, ...]]
    encoder: str
    indexer: str
    longest: int | None
    widest: int
    spans_per_word: float
    feedforward_layers: int

    def weights(self) -> dict[str, torch.Tensor]:
        """All tensors by name.

        Raises:
            InputError: they cannot be read.
        """
        state: dict[str, torch.Tensor] = load_state(self.path, _open(self.path, "weights.th"))
        refuse_broken(self.path, state)
        return state


def read_archive(name: str) -> Archive:
    """Read an archive's description.

    Args:
        name: the packed or unpacked archive, or `owner/repository/file` in the Hugging Face cache.

    Raises:
        MissingResourceError: there is no such archive.
        InputError: it holds something else, or a model with parts that RadGraph has not.
    """
    path = find_archive(name)
    try:
        config = json.loads(_read(path, "config.json"))
        model, reader = config["model"], config["dataset_reader"]
        ((indexer, embedder),) = model["embedder"]["token_embedders"].items()
        unused = {part: model["loss_weights"].get(part, 0) for part in ("coref", "events")}
        unused["coref_prop"] = model["modules"]["coref"].get("coref_prop", 0)
        found = Archive(
            path=path,
            **_labels(path),
            encoder=embedder["model_name"],
            indexer=indexer,
            longest=embedder.get("max_length"),
            widest=reader["max_span_width"],
            spans_per_word=model["modules"]["relation"]["spans_per_word"],
            feedforward_layers=model["feedforward_params"]["num_layers"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: config.json does not describe RadGraph ({error!r})") from None
    if any(unused.values()):
        raise InputError(f"{path}: a model with {unused} is not RadGraph's")
    return found


def find_archive(name: str) -> Path:
    """The path of an archive.

    Raises:
        MissingResourceError: there is none.
    """
    path = model_file("radgraph.archive", name)
    if path.is_dir() and not (path / "weights.th").is_file():
        raise MissingResourceError(
            f"radgraph.archive: {path} holds no weights.th", "--metric-option radgraph.archive=DIR"
        )
    return path


def find_encoder(name: str, archive: Archive) -> Path:
    """The folder with the tokenizer and configuration of an archive's encoder.

    Args:
        name: a folder or a name of the Hugging Face hub; empty for the one the archive names,
            which may also lie beside it.

    Raises:
        MissingResourceError: it is not here.
    """
    beside = archive.path.parent / archive.encoder
    if not name and (beside / "config.json").is_file():
        return beside
    return model_folder("radgraph.encoder", name or archive.encoder, weights=False)


def archive_fingerprint(path: Path) -> str:
    """12 hex digits over an archive's configuration, labels and weights, packed or not.

    Raises:
        InputError: it cannot be read.
    """
    states = [place.stat() for place in ([path] if path.is_file() else _files(path))]
    return _fingerprint(path, tuple((one.st_size, one.st_mtime_ns) for one in states))


@lru_cache(maxsize=16)
def _fingerprint(path: Path, states: tuple[tuple[int, int], ...]) -> str:
    listed = sorted(f"{name} {digest}\n" for name, digest in _digests(path))
    return hashlib.sha256("".join(listed).encode()).hexdigest()[:12]


def _digests(path: Path) -> Iterator[tuple[str, str]]:
    """Name inside the archive and SHA-256 of each file that decides an annotation."""
    if path.is_dir():
        for place in _files(path):
            yield place.relative_to(path).as_posix(), sha256_of(place)
        return
    with _packed(path) as archive:
        for member in archive:
            # The files may lie in a folder of the archive's own.
            parts = PurePosixPath(member.name).parts
            name = "/".join(parts[-2:] if VOCABULARY in parts[-2:-1] else parts[-1:])
            file = archive.extractfile(member)
            if file is not None and (name in FILES or name.startswith(f"{VOCABULARY}/")):
                yield name, _sha256(file)


def _sha256(stream: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while chunk := stream.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()


def _files(folder: Path) -> list[Path]:
    """What decides an annotation, of an archive that is a folder."""
    labels = sorted(place for place in (folder / VOCABULARY).glob("*") if place.is_file())
    return [place for name in FILES if (place := folder / name).is_file()] + labels


def _labels(path: Path) -> dict[str, Any]:
    """The data set's name, and its labels by kind."""
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for name in _names(path):
        dataset, separator, kind = Path(name).stem.partition("__")
        if separator and kind in (NER_LABELS, RELATION_LABELS):
            lines = _read(path, f"vocabulary/{Path(name).name}").decode().split("\n")
            if lines[-1] == "":
                lines.pop()
            found.setdefault(dataset, {})[kind] = tuple(lines)
    complete = {dataset: kinds for dataset, kinds in found.items() if len(kinds) == 2}
    if len(complete) != 1:
        raise InputError(f"{path}: labels of one data set were expected, not of {sorted(found)}")
    ((dataset, labels),) = complete.items()
    if labels[NER_LABELS][0] != "":
        raise InputError(f"{path}: the first label of entities must be the empty one")
    return {"dataset": dataset, "labels": labels}


def _names(path: Path) -> list[str]:
    if path.is_dir():
        return [str(file) for file in sorted((path / "vocabulary").glob("*"))]
    with _packed(path) as archive:
        return archive.getnames()


def _read(path: Path, name: str) -> bytes:
    return _open(path, name).getvalue()


def _open(path: Path, name: str) -> io.BytesIO:
    """A file of an archive."""
    if path.is_dir():
        if not (path / name).is_file():
            raise InputError(f"{path} holds no {name}")
        return io.BytesIO((path / name).read_bytes())
    with _packed(path) as archive:
        for member in archive.getmembers():
            file = archive.extractfile(member)
            if file is not None and member.name.removeprefix("./").endswith(name):
                return io.BytesIO(file.read())
    raise InputError(f"{path} holds no {name}")


@contextmanager
def _packed(path: Path) -> Iterator[tarfile.TarFile]:
    """A packed archive, with whatever goes wrong in reading it told as an `InputError`."""
    try:
        with tarfile.open(path) as archive:
            yield archive
    except (tarfile.TarError, zlib.error, OSError, EOFError) as error:
        raise InputError(f"{path}: cannot be read as an archive ({error})") from None
