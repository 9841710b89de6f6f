"""The tokenizer of a checkpoint, and the ids of a text with an image in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from libra_bench.core.errors import InputError, costs_a_study
from libra_bench.model.configuration import IMAGE_TOKEN
from libra_bench.model.conversation import IMAGE_TAG
from libra_bench.model.tokenization.pieces import SentencePieceTokenizer
from libra_bench.model.tokenization.serialised import SerialisedTokenizer
from libra_bench.model.tokenization.settings import read_settings

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")
"""One of these holds the words of a tokenizer."""
FAST = ("libra_mistral", "libra_phi3", "libra_gemma", "llava_mistral", "maira2")
"""Models whose prompts the published code reads by `tokenizer.json`; it trains them, and reads the
prompts of all others, by the older classes (`use_fast=False`)."""

CONVERTED = ("libra_mistral", "libra_phi3", "llava_mistral", "maira2")
"""Those of them for which it makes the newer class of a Llama `tokenizer.model` that is alone; of
Gemma's own class it is made in every case."""


class Tokenizer(Protocol):
    """What the suite needs of a tokenizer.

    Attributes:
        legacy: for a tokenizer of Llama's kind, whether each part of a text gets a space in front.
    """

    bos_token_id: int | None
    eos_token_id: int
    pad_token_id: int
    legacy: bool | None

    def __len__(self) -> int:
        """Ids that it can give: the vocabulary with all that was added."""
        ...

    def encode(self, text: str) -> list[int]:
        """Ids, with the begin token where the tokenizer adds one."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Text without special tokens."""
        ...

    def token_id(self, text: str) -> int | None:
        """The id of a token that is never cut in pieces; None where there is no such token."""
        ...

    def add(self, texts: Sequence[str]) -> None:
        """Add special tokens behind the vocabulary; those it has stay where they are."""
        ...


def load_tokenizer(folder: Path, model_type: str = "libra", *, training: bool = False) -> Tokenizer:
    """The tokenizer of a checkpoint.

    Args:
        model_type: the published code reads some models by other classes than others.
        training: whether to read as the published trainer does, which always takes the older class.

    Raises:
        InputError: there is none that can be read, or one without an end token.
    """
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise InputError(f"{folder}: no tokenizer in it ({', '.join(TOKENIZER_FILES)})")
    if not (folder / "tokenizer.model").is_file():
        return SerialisedTokenizer(folder)
    serialised = (folder / "tokenizer.json").is_file()
    settings = read_settings(folder)
    if serialised and (
        settings.kind != "LlamaTokenizer"
        or (
            model_type in FAST
            and not training
            # With this setting transformers 4 made it anew from the SentencePiece model.
            and settings.raw.get("add_prefix_space") is None
        )
    ):
        return SerialisedTokenizer(folder)
    kind = settings.kind.removesuffix("Fast")
    if kind not in ("LlamaTokenizer", "GemmaTokenizer"):
        raise InputError(
            f"{folder}: a {settings.kind} without tokenizer.json, and only Llama's and Gemma's are "
            "read from tokenizer.model alone"
        )
    gemma = kind == "GemmaTokenizer"
    newer = model_type in CONVERTED or (gemma and model_type in FAST)
    return SentencePieceTokenizer(folder, converted=newer and not training, gemma=gemma)


def encode_with_image(text: str, tokenizer: Tokenizer) -> list[int]:
    """Ids of a text with -200 in the place of each `<image>`.

    The parts around an image are encoded by themselves. Where the first begins with a begin token,
    the first id of each other part is taken for one as well, as in the published code.

    Raises:
        StudyError: the tokenizer does not take the text.
    """
    with costs_a_study("the text cannot be made tokens"):
        parts = [tokenizer.encode(part) for part in text.split(IMAGE_TAG)]
    begin = tokenizer.bos_token_id
    first = 1 if begin is not None and parts[0][:1] == [begin] else 0
    ids = list(parts[0])
    for part in parts[1:]:
        ids.append(IMAGE_TOKEN)
        ids.extend(part[first:])
    return ids
