"""What the neural metrics share: finding and loading encoders, batches by length, a cache.

Nothing is downloaded: a model is a folder, or a name that the Hugging Face cache already holds.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Generic, TypeVar

from libra_bench.core.errors import InputError, MissingResourceError
from libra_bench.core.files import cache_dir, sha256_of

if TYPE_CHECKING:
    import torch

Value = TypeVar("Value")
Item = TypeVar("Item")

WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
# Models whose position numbers start behind the padding token's.
_OFFSET_POSITIONS = {"roberta", "xlm-roberta", "camembert", "mpnet", "longformer"}
_READ_AT_ONCE = 500
_AT_ONCE = 8
"""More batches side by side would wait for Python's lock."""


def model_folder(option: str, name: str, *, weights: bool = True) -> Path:
    """The folder of a model that is given as a folder or as a name of the Hugging Face hub.

    Args:
        option: the metric option that names it, for example `bertscore.model`.
        weights: whether the folder must hold weights; else tokenizer and configuration do.

    Raises:
        MissingResourceError: there is no such folder, nothing of that name in the local Hugging
            Face cache, or the folder is not complete.
    """
    mend = f"--metric-option {option}=DIR, with DIR made by: hf download {name} --local-dir DIR"
    folder = Path(name).expanduser()
    if not folder.is_dir():
        if folder.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
            raise MissingResourceError(
                f"{option}: there is no folder {name}", f"--metric-option {option}=DIR"
            )
        folder = _cached_snapshot(name) or folder
    if not folder.is_dir():
        raise MissingResourceError(
            f"{option}: no folder {name!r}, and no model of that name in the Hugging Face cache",
            mend,
        )
    if not (folder / "config.json").is_file():
        raise MissingResourceError(f"{option}: {folder} holds no config.json", mend)
    if weights and not any((folder / file).is_file() for file in WEIGHT_FILES):
        raise MissingResourceError(f"{option}: {folder} holds no weights", mend)
    return folder


def model_file(option: str, name: str) -> Path:
    """A file of weights, given as a path or as `owner/repository/file` of the Hugging Face hub.

    Raises:
        MissingResourceError: neither the path nor the local Hugging Face cache holds it.
    """
    path = Path(name).expanduser()
    if path.exists():
        return path
    owner, _, rest = name.partition("/")
    repository, _, file = rest.partition("/")
    if not file or path.is_absolute() or owner in (".", "..", "~"):
        raise MissingResourceError(
            f"{option}: there is no {name}", f"--metric-option {option}=FILE"
        )
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(f"{owner}/{repository}", file)
    if not isinstance(cached, str):
        raise MissingResourceError(
            f"{option}: no {name} here, nor in the Hugging Face cache",
            f"hf download {owner}/{repository} {file}, or --metric-option {option}=FILE",
        )
    return Path(cached)


def load_state(path: Path, content: BinaryIO | None = None) -> Any:
    """What a file of `torch.save` holds: tensors in containers, never code.

    Args:
        content: what to read instead, where `path` is the archive that holds it.

    Raises:
        InputError: the file is no such file.
    """
    import pickle
    import zipfile

    import torch

    try:
        return torch.load(content or path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, zipfile.BadZipFile, RuntimeError, EOFError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{path}: cannot be read as weights ({reason})") from None


def _cached_snapshot(name: str) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None


def fingerprint(path: Path) -> str:
    """12 hex digits over a file's bytes, or over names and bytes of a folder's own files."""
    if path.is_file():
        return _digest(path)[:12]
    files = sorted(file for file in path.iterdir() if file.is_file() and file.name[0] != ".")
    listed = "".join(f"{file.name} {_digest(file)}\n" for file in files)
    return hashlib.sha256(listed.encode()).hexdigest()[:12]


def _digest(path: Path) -> str:
    state = path.stat()
    return _digest_of_state(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=256)
def _digest_of_state(path: Path, size: int, changed: int) -> str:
    return sha256_of(path)


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Keep transformers' table of unused weights off the screen; loaders check the keys."""
    from transformers.utils import logging as untyped

    logging: Any = untyped
    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()


def load_config(folder: Path) -> Any:
    """The configuration of a model folder."""
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(folder, local_files_only=True)


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a model folder."""
    from transformers import AutoTokenizer

    with quiet_loading():
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def load_model(kind: str, folder: Path, config: Any) -> torch.nn.Module:
    """A model of a folder in float32, on the device, in evaluation mode.

    Args:
        kind: the class of transformers that loads it: `AutoModel` ...

    Raises:
        InputError: the folder lacks some of the model's weights.
    """
    import torch
    import transformers

    with quiet_loading():
        model, report = getattr(transformers, kind).from_pretrained(
            folder,
            config=config,
            local_files_only=True,
            output_loading_info=True,
            dtype=torch.float32,
        )
    # No metric reads the pooler, and many published encoders come without.
    missing = sorted(key for key in report["missing_keys"] if "pooler" not in key)
    if missing:
        raise InputError(
            f"{folder}: weights of {config.model_type} are missing: {', '.join(missing[:8])}"
        )
    placed: torch.nn.Module = model.to(device()).eval()
    return placed


def device() -> torch.device:
    """Where the metrics' models run."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def longest_input(tokenizer: Any, config: Any) -> int | None:
    """How many tokens the model can read, special tokens included; None for any number."""
    limits = []
    if tokenizer.model_max_length < 1_000_000:  # else nobody has said it
        limits.append(int(tokenizer.model_max_length))
    positions = getattr(config, "max_position_embeddings", None)
    if positions and getattr(config, "position_biased_input", True):
        offset = config.pad_token_id + 1 if config.model_type in _OFFSET_POSITIONS else 0
        limits.append(int(positions) - offset)
    return min(limits) if limits else None


def batches_by_length(lengths: Sequence[int], tokens: int = 0) -> Iterator[list[int]]:
    """Places of a list, longest first, in batches of at most `tokens` tokens with their padding.

    Args:
        lengths: [n] tokens of each text.
        tokens: 0 for what suits the device.
    """
    # What the layers of a base model make of 256 tokens stays in a processor's cache: a third less
    # time than with 2,048.
    budget = tokens or (65536 if device().type == "cuda" else 256)
    order = sorted(range(len(lengths)), key=lambda place: (-lengths[place], place))
    start = 0
    while start < len(order):
        count = max(1, budget // max(1, lengths[order[start]]))
        yield order[start : start + count]
        start += count


def side_by_side(work: Callable[[Item], Value], items: Iterable[Item]) -> Iterator[Value]:
    """The results of `work` in the order of the items; on a CPU several are worked on at once.

    Matrices as small as those of a base model divide badly among threads: a batch on each is
    faster than all on one batch. `work` runs in inference mode.
    """
    import torch

    threads = torch.get_num_threads()
    workers = min(threads, _AT_ONCE) if device().type == "cpu" else 1

    def inferred(item: Item) -> Value:
        with torch.inference_mode():
            return work(item)

    if workers == 1:
        yield from map(inferred, items)
        return
    share = threads // workers
    try:
        with ThreadPoolExecutor(
            workers, initializer=torch.set_num_threads, initargs=(share,)
        ) as pool:
            yield from pool.map(inferred, items)
    finally:
        # What a worker sets for itself is also what torch gives to threads that begin later.
        torch.set_num_threads(threads)


def padded(sequences: Sequence[Sequence[int]], padding: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids [batch, longest] on the device, and their mask: 1 for a token, 0 for padding."""
    import torch

    longest = max(map(len, sequences))
    ids = torch.tensor([[*row, *[padding] * (longest - len(row))] for row in sequences])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in sequences])
    return ids.to(device()), mask.to(device())


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
        key = hashlib.sha256("\0".join(depends).encode()).hexdigest()[:16]
        self._path = cache_dir("metrics") / f"{kind}-{key}.sqlite"
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
        with closing(self._open()) as store:
            known = self._read(store, wanted)
            new = sorted((key for key in wanted if key not in known), key=len)
            for start in range(0, len(new), at_once):
                part = new[start : start + at_once]
                results = dict(zip(part, compute(part), strict=True))
                known.update(results)
                with store:
                    store.executemany(
                        "INSERT OR REPLACE INTO results VALUES (?, ?)",
                        [(_hash(key), self._pack(value)) for key, value in results.items()],
                    )
        return known

    def _open(self) -> sqlite3.Connection:
        store = sqlite3.connect(self._path, timeout=60)
        with store:
            store.execute(
                "CREATE TABLE IF NOT EXISTS results (key BLOB PRIMARY KEY, value BLOB) "
                "WITHOUT ROWID"
            )
        return store

    def _read(self, store: sqlite3.Connection, keys: list[str]) -> dict[str, Value]:
        found: dict[str, Value] = {}
        for start in range(0, len(keys), _READ_AT_ONCE):
            part = {_hash(key): key for key in keys[start : start + _READ_AT_ONCE]}
            marks = ",".join("?" * len(part))
            query = f"SELECT key, value FROM results WHERE key IN ({marks})"
            for key, value in store.execute(query, list(part)):
                found[part[key]] = self._unpack(value)
        return found


def _hash(text: str) -> bytes:
    # surrogatepass: half a character, as broken files hold it, is content too.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
