"""A tokenizer from its `tokenizer.json`, as transformers 4.51.3 completes what that file says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from libra_bench.core.errors import InputError
from libra_bench.core.files import read_json
from libra_bench.model.tokenization.pieces import GEMMA, LLAMA
from libra_bench.model.tokenization.settings import (
    AddedToken,
    TokenizerSettings,
    cleaned_up,
    read_settings,
)

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Backend

# The special tokens of a class for roles that the folder does not name.
DEFAULTS = {
    "Llama": LLAMA,
    "Gemma": GEMMA,
    "Qwen2": {"eos": "<|endoftext|>", "unk": "<|endoftext|>", "pad": "<|endoftext|>"},
}
BEGINS = ("Llama", "Gemma")
"""Classes that write their own rule for begin and end tokens over that of the file."""
# How Qwen cuts a text into words, which its `vocab.json` and `merges.txt` do not say.
QWEN_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


class SerialisedTokenizer:
    """Llama 3, Qwen, Phi, Gemma, Mistral: whatever `tokenizers` runs.

    Args:
        folder: holds `tokenizer.json`, or Qwen's `vocab.json` and `merges.txt`.

    Raises:
        InputError: files that are broken or contradict each other.
    """

    legacy: bool | None = None

    def __init__(self, folder: Path) -> None:
        settings = read_settings(folder)
        self._class = settings.kind.removesuffix("Fast").removesuffix("Tokenizer")
        settings = settings.with_defaults(**DEFAULTS.get(self._class, {}))
        if "eos" not in settings.roles:
            raise InputError(f"{folder}: its tokenizer has no end token")
        self._backend = _backend(folder)
        try:
            self._complete(settings)
        except Exception as error:  # noqa: BLE001  # tokenizers raises bare exceptions
            raise InputError(f"{folder}: its tokenizer cannot be used ({error})") from None
        self._clean = settings.flag("clean_up_tokenization_spaces", False)
        if self._class == "Llama":
            self.legacy = settings.flag("legacy", True)
        numbers = {role: self._number(one.content) for role, one in settings.roles.items()}
        if numbers["eos"] is None:
            raise InputError(f"{folder}: its tokenizer has no end token")
        self.bos_token_id: int | None = numbers.get("bos")
        self.eos_token_id: int = numbers["eos"]
        pads = (numbers.get("pad"), numbers.get("unk"), self.eos_token_id)
        self.pad_token_id: int = next(one for one in pads if one is not None)

    def __len__(self) -> int:
        return int(self._backend.get_vocab_size(with_added_tokens=True))

    def encode(self, text: str) -> list[int]:
        """Ids of a text, with the begin token where the tokenizer adds one."""
        return list(self._backend.encode(text).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Text without special tokens."""
        text = str(self._backend.decode([int(one) for one in ids], skip_special_tokens=True))
        return cleaned_up(text) if self._clean else text

    def token_id(self, text: str) -> int | None:
        """The id of a token that is never cut in pieces; None where there is no such token."""
        return self._number(text)

    def add(self, texts: Sequence[str]) -> None:
        """Add special tokens behind the vocabulary; those it has stay where they are."""
        self._backend.add_special_tokens(
            [_native(AddedToken(text, special=True)) for text in texts]
        )

    def _number(self, text: str) -> int | None:
        number = self._backend.token_to_id(text)
        return None if number is None else int(number)

    def _complete(self, settings: TokenizerSettings) -> None:
        """What the folder's settings say beside the file."""
        backend = self._backend
        backend.no_truncation()
        backend.no_padding()
        known = {repr(one) for one in backend.get_added_tokens_decoder().values()}
        special = {one.content for one in settings.special}
        fresh = [one for _, one in sorted(settings.added.items())]
        fresh = [one for one in fresh if repr(_native(one)) not in known]
        names = {one.content for one in backend.get_added_tokens_decoder().values()}
        names |= {one.content for one in fresh}
        fresh += [one for one in settings.special if one.content not in names]
        # One after the other: ids follow the order.
        for one in fresh:
            backend.add_tokens([_native(one, special=one.special or one.content in special)])
        self._spaced(bool(settings.raw.get("add_prefix_space", False)))
        if self._class in BEGINS:
            self._begin(settings)

    def _spaced(self, prefix: bool) -> None:
        """The settings' word on a space before the text, where the file's rule has such a word."""
        from tokenizers import pre_tokenizers

        rule = self._backend.pre_tokenizer
        if rule is None or self._class == "Llama":
            return
        state = json.loads(rule.__getstate__())
        if state.get("add_prefix_space", prefix) != prefix:
            kind = getattr(pre_tokenizers, state.pop("type"))
            self._backend.pre_tokenizer = kind(**{**state, "add_prefix_space": prefix})

    def _begin(self, settings: TokenizerSettings) -> None:
        from tokenizers import processors

        begin, end = settings.roles.get("bos"), settings.roles.get("eos")
        form, tokens = ["$A:0"], []
        if begin and settings.flag("add_bos_token", True):
            form.insert(0, f"{begin.content}:0")
            tokens.append(begin.content)
        if end and settings.flag("add_eos_token", False):
            form.append(f"{end.content}:0")
            tokens.append(end.content)
        self._backend.post_processor = processors.TemplateProcessing(
            single=" ".join(form),
            pair=None,
            special_tokens=[(text, self._backend.token_to_id(text)) for text in tokens],
        )


def _backend(folder: Path) -> Backend:
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    if not path.is_file():
        return _qwen(folder)
    read_json(path)  # Says where the file goes wrong, if it does.
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # noqa: BLE001  # tokenizers raises bare exceptions
        raise InputError(f"{path}: not a tokenizer ({error})") from None


def _qwen(folder: Path) -> Backend:
    """Qwen's byte-level tokenizer from its vocabulary and merges."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    words, merges = folder / "vocab.json", folder / "merges.txt"
    for path in (words, merges):
        if not path.is_file():
            raise InputError(f"{folder}: no {path.name}, and no tokenizer.json in its stead")
    read_json(words)
    try:
        backend = Tokenizer(models.BPE.from_file(str(words), str(merges)))
    except Exception as error:  # noqa: BLE001  # tokenizers raises bare exceptions
        raise InputError(f"{words}: not a vocabulary with its merges ({error})") from None
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN_WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    return backend


def _native(token: AddedToken, *, special: bool | None = None) -> Any:
    from tokenizers import AddedToken as Native

    return Native(
        token.content,
        lstrip=token.left,
        rstrip=token.right,
        single_word=token.single_word,
        normalized=token.normalized,
        special=token.special if special is None else special,
    )
