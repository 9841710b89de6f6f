"""Tokenizers of checkpoints: SentencePiece as the published code runs it, or Hugging Face's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from libra_bench.core.errors import InputError, costs_a_study
from libra_bench.core.files import read_json
from libra_bench.model.configuration import IMAGE_TOKEN
from libra_bench.model.conversation import IMAGE_TAG

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")
"""One of these holds the words of a tokenizer."""
SPACE = "▁"
"""SentencePiece's sign for a space."""


class Tokenizer(Protocol):
    """What the suite needs of a tokenizer."""

    bos_token_id: int | None
    eos_token_id: int
    pad_token_id: int

    def encode(self, text: str) -> list[int]:
        """Ids, with the begin token where the tokenizer adds one."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Text without special tokens."""
        ...

    def token_id(self, text: str) -> int | None:
        """The id of a special token; None where the tokenizer has no such token."""
        ...


class SentencePieceTokenizer:
    """Llama's tokenizer as transformers 4 ran it without a `tokenizer.json`.

    Special tokens are cut out of the text, and each part between them is encoded by itself. In
    the first ("legacy") behaviour SentencePiece puts a space before every part; in the later one
    (`"legacy": false`) only the text as a whole gets one. The converted tokenizers of
    transformers 5 differ from both, so the model file is read directly.

    Args:
        folder: holds `tokenizer.model` and `tokenizer_config.json`.
    """

    def __init__(self, folder: Path) -> None:
        import sentencepiece

        path = folder / "tokenizer.model"
        try:
            self._model = sentencepiece.SentencePieceProcessor(model_file=str(path))
        except (OSError, RuntimeError) as error:
            raise InputError(f"{path}: not a SentencePiece model ({error})") from None
        settings = _settings(folder)
        self._special = {
            str(token["content"]): int(number)
            for number, token in settings.get("added_tokens_decoder", {}).items()
            if token.get("special", True)
        }
        for number in (self._model.bos_id(), self._model.eos_id(), self._model.unk_id()):
            if number >= 0:
                self._special.setdefault(self._model.id_to_piece(number), number)
        self.bos_token_id: int | None = self._id(settings.get("bos_token"), self._model.bos_id())
        self.eos_token_id = self._id(settings.get("eos_token"), self._model.eos_id())
        self.pad_token_id = self._id(settings.get("pad_token"), self._model.unk_id())
        self._add_bos = bool(settings.get("add_bos_token", True))
        # Not said means legacy, as in transformers.
        self._plain = None if settings.get("legacy") is not False else _without_prefix(path)
        longest_first = sorted(self._special, key=len, reverse=True)
        self._cut = re.compile("(" + "|".join(map(re.escape, longest_first)) + ")")

    def _id(self, token: Any, default: int) -> int:
        text = token.get("content") if isinstance(token, dict) else token
        return self._special.get(text, default) if text else default

    def encode(self, text: str) -> list[int]:
        """Ids of a text."""
        ids = [self.bos_token_id] if self._add_bos and self.bos_token_id is not None else []
        if self._plain is not None and text:
            text = SPACE + text.replace(SPACE, " ")
        parts = [part for part in self._cut.split(text) if part]
        if parts[:1] == [SPACE] and len(parts) > 1:
            parts = parts[1:]  # No space before a special token at the beginning.
        for part in parts:
            ids.extend([self._special[part]] if part in self._special else self._pieces(part))
        return ids

    def _pieces(self, part: str) -> list[int]:
        """Ids of a text without special tokens."""
        if self._plain is None:
            return list(self._model.encode(part))
        if not part.startswith((SPACE, " ")):
            return list(self._plain.encode(part))
        # SentencePiece would swallow a space at the beginning; something stands before it.
        guard = self._model.id_to_piece(self._model.unk_id())
        return list(self._plain.encode(guard + part)[len(self._plain.encode(guard)) :])

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids, without special tokens."""
        special = set(self._special.values())
        return str(self._model.decode([int(one) for one in ids if int(one) not in special]))

    def token_id(self, text: str) -> int | None:
        """The id of a special token, or None."""
        return self._special.get(text)


def _without_prefix(path: Path) -> Any:
    """The SentencePiece model, putting no space of its own before a text."""
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2

    schema: Any = sentencepiece_model_pb2
    model = schema.ModelProto.FromString(path.read_bytes())
    model.normalizer_spec.add_dummy_prefix = False
    return sentencepiece.SentencePieceProcessor(model_proto=model.SerializeToString())


class HuggingFaceTokenizer:
    """A tokenizer that transformers loads (`tokenizer.json`): Llama 3, Qwen, Phi, Gemma.

    Args:
        folder: the checkpoint.
    """

    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer

        if not any((folder / name).is_file() for name in TOKENIZER_FILES):
            # transformers would make one up that knows no word.
            raise InputError(f"{folder}: no tokenizer in it ({', '.join(TOKENIZER_FILES)})")
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise InputError(f"{folder}: no tokenizer can be loaded from it ({error})") from None
        self.bos_token_id = self._tokenizer.bos_token_id
        if self._tokenizer.eos_token_id is None:
            raise InputError(f"{folder}: its tokenizer has no end token")
        self.eos_token_id = self._tokenizer.eos_token_id
        pad = self._tokenizer.pad_token_id
        self.pad_token_id = self.eos_token_id if pad is None else pad

    def encode(self, text: str) -> list[int]:
        """Ids of a text."""
        return list(self._tokenizer(text).input_ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids, without special tokens."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))

    def token_id(self, text: str) -> int | None:
        """The id of a special token, or None."""
        number = self._tokenizer.get_vocab().get(text)
        return None if number is None else int(number)


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a checkpoint.

    Raises:
        InputError: there is none that can be read.
    """
    named = _settings(folder).get("tokenizer_class", "LlamaTokenizer")
    if (folder / "tokenizer.model").is_file() and named.startswith("LlamaTokenizer"):
        return SentencePieceTokenizer(folder)
    return HuggingFaceTokenizer(folder)


def encode_with_image(text: str, tokenizer: Tokenizer) -> list[int]:
    """Ids of a text with -200 in the place of each `<image>`.

    The parts around an image are encoded by themselves; only the first keeps its begin token.

    Raises:
        StudyError: the tokenizer does not take the text.
    """
    with costs_a_study("the text cannot be made tokens"):
        parts = [tokenizer.encode(part) for part in text.split(IMAGE_TAG)]
    begin = tokenizer.bos_token_id
    ids = list(parts[0])
    for part in parts[1:]:
        ids.append(IMAGE_TOKEN)
        ids.extend(part[1:] if begin is not None and part[:1] == [begin] else part)
    return ids


def _settings(folder: Path) -> dict[str, Any]:
    path = folder / "tokenizer_config.json"
    return dict(read_json(path)) if path.is_file() else {}
