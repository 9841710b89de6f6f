"""Llama's tokenizer over a SentencePiece model, as transformers 4.51.3's older class runs it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from libra_bench.core.errors import InputError
from libra_bench.model.tokenization.settings import AddedToken, cleaned_up, read_settings

SPACE = "▁"
"""SentencePiece's sign for a space."""
LLAMA = {"bos": "<s>", "eos": "</s>", "unk": "<unk>"}
GEMMA = {"bos": "<bos>", "eos": "<eos>", "unk": "<unk>", "pad": "<pad>"}
"""The special tokens of a class for roles that the folder does not name."""
BYTE = re.compile(r"<0x[0-9A-F]{2}>")
"""The piece of a single byte."""


class SentencePieceTokenizer:
    """Added tokens are cut out of the text, and each part between them is encoded by itself.

    In the first ("legacy") behaviour SentencePiece puts a space before every part; in the later one
    (`"legacy": false`) only the text as a whole gets one.

    Args:
        folder: holds `tokenizer.model` and its settings.
        converted: whether the published code makes a tokenizer of its newer class of the model,
            which reads the same ids, and writes bytes that are no text one sign a byte and added
            tokens without spaces around them.
        gemma: whether it is Gemma's, which puts no space before a text and takes none away.

    Raises:
        InputError: files that are broken or contradict each other.
    """

    def __init__(self, folder: Path, *, converted: bool = False, gemma: bool = False) -> None:
        self._converted, self._gemma = converted, gemma
        settings = read_settings(folder).with_defaults(**(GEMMA if gemma else LLAMA))
        # Not said means legacy, as in transformers; Gemma's text goes to the model as it is, too.
        self._legacy = gemma or settings.flag("legacy", True)
        path = folder / "tokenizer.model"
        try:
            self._model = _load(path, keep_prefix=self._legacy)
        except (OSError, RuntimeError, ValueError) as error:
            raise InputError(f"{path}: not a SentencePiece model ({error})") from None
        except Exception as error:  # noqa: BLE001  # protobuf's own errors
            raise InputError(f"{path}: not a SentencePiece model ({error})") from None
        self._prefix = not gemma and settings.flag("add_prefix_space", True)
        self._clean = settings.flag("clean_up_tokenization_spaces", False)
        self._pieces: list[str] = [
            self._model.id_to_piece(number) for number in range(self._model.get_piece_size())
        ]
        self._tokens: dict[int, AddedToken] = dict(settings.added)
        self._special: dict[str, int] = {}
        for token in settings.special:
            self._special[token.content] = self._enter(token)
        self._numbers = {one.content: number for number, one in self._tokens.items()}
        self._size = len({*self._pieces_by_name(), *self._numbers})
        self._cut = _cutter(self._numbers)
        roles = {role: self._special[one.content] for role, one in settings.roles.items()}
        if "eos" not in roles:
            raise InputError(f"{folder}: its tokenizer has no end token")
        self.bos_token_id: int | None = roles.get("bos")
        self.eos_token_id: int = roles["eos"]
        self.pad_token_id: int = roles.get("pad", roles.get("unk", self.eos_token_id))
        self.legacy: bool | None = None if gemma else self._legacy
        adds = settings.flag("add_bos_token", True) and "bos" in roles
        self._begin = [roles["bos"]] if adds else []
        self._end = [self.eos_token_id] if settings.flag("add_eos_token", False) else []
        unknown = settings.roles.get("unk")
        self._unknown = unknown.content if unknown else ""

    def __len__(self) -> int:
        return self._size

    def encode(self, text: str) -> list[int]:
        """Ids of a text, with the begin token where the tokenizer adds one."""
        if text and not self._legacy:
            text = text.replace(SPACE, " ")
            # The newer class adds no space to one that is there.
            prefix = self._prefix and not (self._converted and text[0] in (SPACE, " "))
            text = SPACE + text if prefix else text
        parts = self._stripped([part for part in self._cut.split(text) if part])
        ids: list[int] = []
        for place, part in enumerate(parts):
            if part in self._numbers:
                ids.append(self._numbers[part])
            elif not (
                # No space before a special token at the beginning.
                place == 0
                and not self._legacy
                and part == SPACE
                and parts[1:]
                and parts[1] in self._special
            ):
                ids += [self._model.piece_to_id(piece) for piece in self._encode(part)]
        return [*self._begin, *ids, *self._end]

    def decode(self, ids: Sequence[int]) -> str:
        """Text without special tokens; added tokens stand by themselves between spaces."""
        special = set(self._special.values())
        if self._converted:
            # The newer class leaves out whatever is marked as special, with a role or without.
            special |= {number for number, token in self._tokens.items() if token.special}
            text = self._decoded_at_once([one for one in map(int, ids) if one not in special])
            return cleaned_up(text) if self._clean else text
        texts: list[str] = []
        run: list[str] = []
        for number in map(int, ids):
            if number in special:
                continue
            if number in self._tokens:
                texts += self._joined(run)
                run = []
                texts.append(self._tokens[number].content)
            else:
                run.append(self._piece(number))
        text = " ".join(texts + self._joined(run))
        return cleaned_up(text) if self._clean else text

    def _decoded_at_once(self, ids: Sequence[int]) -> str:
        """As the newer class does it: one run, and an id that no token has is passed over."""
        texts = [
            self._tokens[one].content if one in self._tokens else self._pieces[one]
            for one in ids
            if one in self._tokens or one < len(self._pieces)
        ]
        if self._gemma:
            # Made anew, Gemma's piece of this byte is the sign itself.
            texts = ["\t" if text == "<0x09>" else text for text in texts]
        text = _with_byte_runs(texts)
        return text.removeprefix(" ") if self._prefix else text

    def token_id(self, text: str) -> int | None:
        """The id of a token that is never cut in pieces; None where there is no such token."""
        if text in self._numbers:
            return self._numbers[text]
        # A model may have been trained with such signs as pieces of their own (Gemma).
        pieces = [piece for piece in self._encode(text) if piece != SPACE]
        return int(self._model.piece_to_id(text)) if pieces == [text] else None

    def add(self, texts: Sequence[str]) -> None:
        """Add special tokens behind the vocabulary; those it has stay where they are."""
        for text in texts:
            if text not in self._numbers:
                number = self._enter(AddedToken(text, special=True))
                self._numbers[text] = self._special[text] = number
        self._size = len({*self._pieces_by_name(), *self._numbers})
        self._cut = _cutter(self._numbers)

    def _enter(self, token: AddedToken) -> int:
        """The id of a special token, which gets one behind the vocabulary if it has none."""
        names = self._pieces_by_name()
        names |= {one.content: number for number, one in self._tokens.items()}
        number = names.get(token.content, len(names))
        self._tokens.setdefault(number, token)
        return number

    def _pieces_by_name(self) -> dict[str, int]:
        return {
            self._tokens[number].content if number in self._tokens else piece: number
            for number, piece in enumerate(self._pieces)
        }

    def _stripped(self, parts: list[str]) -> list[str]:
        """Parts after each added token has taken its white space, or was none after all."""
        for place in range(len(parts)):
            token = self._tokens.get(self._numbers.get(parts[place], -1))
            if token is None:
                continue
            left = parts[place - 1] if place else ""
            right = parts[place + 1] if place + 1 < len(parts) else ""
            if token.right and right:
                parts[place + 1] = right.lstrip()
            if token.left and left:
                parts[place - 1] = left.rstrip()
            if token.single_word and left and not left.endswith(" "):
                parts[place - 1], parts[place] = parts[place - 1] + parts[place], ""
            elif token.single_word and right and not right.startswith(" "):
                parts[place], parts[place + 1] = "", parts[place] + parts[place + 1]
        return [part for part in parts if part]

    def _encode(self, part: str) -> list[str]:
        """Pieces of a text without added tokens."""
        if self._legacy or not part.startswith((SPACE, " ")):
            return list(self._model.encode(part, out_type=str))
        # SentencePiece would swallow a space at the beginning; something stands before it.
        guard = len(self._model.encode(self._unknown))
        return list(self._model.encode(self._unknown + part, out_type=str)[guard:])

    def _joined(self, run: list[str]) -> list[str]:
        """The text of consecutive pieces, if there is any."""
        if not run:
            return []
        if self._prefix and run[0].startswith(SPACE):
            run = [run[0][1:], *run[1:]]
        text = str(self._model.decode(run))
        return [text] if text else []

    def _piece(self, number: int) -> str:
        if not 0 <= number < len(self._pieces):
            raise InputError(f"id {number} is outside the tokenizer's {len(self)} tokens")
        return self._pieces[number]


def _with_byte_runs(pieces: list[str]) -> str:
    """Pieces as one text; consecutive bytes are a text as a whole, or not at all."""
    text = ""
    for is_byte, run in groupby(pieces, key=lambda one: BYTE.fullmatch(one) is not None):
        if not is_byte:
            text += "".join(run).replace(SPACE, " ")
            continue
        held = bytes(int(one[3:5], 16) for one in run)
        try:
            text += held.decode("utf-8")
        except UnicodeDecodeError:
            text += "\ufffd" * len(held)
    return text


def _load(path: Path, *, keep_prefix: bool) -> Any:
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2

    if keep_prefix:
        return sentencepiece.SentencePieceProcessor(model_file=str(path))
    schema: Any = sentencepiece_model_pb2
    model = schema.ModelProto.FromString(path.read_bytes())
    model.normalizer_spec.add_dummy_prefix = False
    return sentencepiece.SentencePieceProcessor(model_proto=model.SerializeToString())


def _cutter(texts: dict[str, int]) -> re.Pattern[str]:
    """Splits a text at added tokens: the first in the text, the longest of those."""
    longest_first = sorted((text for text in texts if text), key=len, reverse=True)
    return re.compile("(" + "|".join(map(re.escape, longest_first)) + ")")
