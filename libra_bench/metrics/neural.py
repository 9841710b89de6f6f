"""What the neural metrics share: loading encoders, batches by length, work side by side."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from libra_bench.core.errors import InputError, cause_of_loading
from libra_bench.metrics.resources import WEIGHT_FILES, json_object

if TYPE_CHECKING:
    import torch

Value = TypeVar("Value")
Item = TypeVar("Item")

# Models whose position numbers start behind the padding token's.
_OFFSET_POSITIONS = {"roberta", "xlm-roberta", "camembert", "mpnet", "longformer"}
_AT_ONCE = 8
"""More batches side by side would wait for Python's lock."""
_PADDED_TO = 64
"""Rows that an embedding may have beyond its words, where they were rounded up."""


def load_state(path: Path, content: BinaryIO | None = None) -> Any:
    """What a file of `torch.save` holds: tensors in containers, never code.

    Args:
        content: what to read instead, where `path` is the archive that holds it.

    Raises:
        InputError: the file is no such file.
    """
    import torch

    try:
        return torch.load(content or path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = cause_of_loading(error).partition(". ")[0]
        raise InputError(f"{path}: cannot be read as weights ({reason})") from error


def refuse_broken(place: object, tensors: Mapping[str, Any]) -> None:
    """Refuse weights that are no tensors, or hold what is no number.

    Raises:
        InputError: which.
    """
    import torch

    for name, tensor in tensors.items():
        if not isinstance(tensor, torch.Tensor):
            raise InputError(f"{place}: {name} is no tensor")
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise InputError(f"{place}: weights that are not finite: {name}")


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

    return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def load_tokenizer(folder: Path, config: Any = None) -> Any:
    """The tokenizer of a model folder.

    Args:
        config: of an encoder; its tokenizer must then have all of its words. Without its files
            transformers makes one of special tokens alone, which gives figures too.

    Raises:
        InputError: words that the encoder has no rows for, or rows without words; no padding.
    """
    from transformers import AutoTokenizer

    with quiet_loading():
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    if config is None:
        return tokenizer
    words, rows = tokenizer.get_vocab(), int(config.vocab_size)
    if max(words.values(), default=0) >= rows:
        raise InputError(f"{folder}: a tokenizer of {len(words)} words for an encoder of {rows}")
    gap = rows - len(words)
    # A list that was cut off in the middle still is a list; a serialised tokenizer is not.
    listed = not (folder / "tokenizer.json").is_file() and (folder / "vocab.txt").is_file()
    if gap > rows // 2 or (listed and (gap >= _PADDED_TO or (gap and rows % 8))):
        raise InputError(f"{folder}: the tokenizer has {len(words)} words of {rows}")
    if tokenizer.pad_token_id is None:
        raise InputError(f"{folder}: the tokenizer has no padding token")
    # Models of BERT's family were all taught with frames; others are read as their files say.
    frame = {tokenizer.cls_token_id, tokenizer.sep_token_id}
    if tokenizer.cls_token == "[CLS]" and not frame <= set(tokenizer("a")["input_ids"]):
        raise InputError(f"{folder}: the tokenizer does not frame texts by its special tokens")
    return tokenizer


def load_model(kind: str, folder: Path, config: Any, layers: int | None = None) -> torch.nn.Module:
    """A model of a folder in float32, on the device, in evaluation mode.

    Args:
        kind: the class of transformers that loads it: `AutoModel` ...
        layers: of the whole model, where `config` names fewer.

    Raises:
        InputError: the folder lacks some of the model's weights, has more than the configuration
            says, or such as are no numbers.
    """
    import torch
    import transformers

    _check_shards(folder)
    with quiet_loading():
        model, report = getattr(transformers, kind).from_pretrained(
            folder,
            config=config,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
            dtype=torch.float32,
        )
    # No metric reads the pooler, and many published encoders come without.
    missing = sorted(
        str(key)
        for name in ("missing_keys", "mismatched_keys")
        for key in report[name]
        if "pooler" not in str(key)
    )
    if missing:
        raise InputError(
            f"{folder}: weights of {config.model_type} are missing: {', '.join(missing[:8])}"
        )
    count = layers or int(getattr(config, "num_hidden_layers", 0)) or None
    found = [re.search(r"\blayers?\.(\d+)\.", key) for key in report["unexpected_keys"]]
    if count and any(int(match[1]) >= count for match in found if match):
        raise InputError(f"{folder}: weights of more than the {count} layers of config.json")
    refuse_broken(folder, model.state_dict())
    placed: torch.nn.Module = model.to(device()).eval()
    return placed


def _check_shards(folder: Path) -> None:
    """Refuse an index that names files elsewhere, or that are not here."""
    if any((folder / file).is_file() for file in WEIGHT_FILES if not file.endswith(".json")):
        return
    for file in WEIGHT_FILES:
        if not file.endswith(".json") or not (folder / file).is_file():
            continue
        named = json_object(folder / file).get("weight_map")
        names = set(named.values()) if isinstance(named, dict) else {None}
        for name in names:
            if not isinstance(name, str) or Path(name).name != name:
                raise InputError(f"{folder / file}: names {name!r} as a file of weights")
            if not (folder / name).is_file():
                raise InputError(f"{folder}: weights are missing: {name}")
        return


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
