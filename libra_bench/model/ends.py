"""What ends an answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from libra_bench.core.errors import InputError
from libra_bench.core.files import read_json
from libra_bench.model.conversation import Conversation
from libra_bench.model.tokenizer import Tokenizer


@dataclass(frozen=True)
class Stop:
    """The text that ends an answer in a conversation mode, and its ids."""

    text: str
    ids: tuple[int, ...]
    tokenizer: Tokenizer

    def ends(self, ids: Sequence[int], new: int) -> bool:
        """Whether a sequence has come to its end.

        Args:
            ids: of the prompt and the answer so far; the last ones will do.
            new: how many of them are the answer's.
        """
        size = len(self.ids)
        if tuple(ids[-size:]) == self.ids:
            return True
        tail = ids[len(ids) - min(new, size) :]
        return self.text in self.tokenizer.decode(tail)


class EndTokens(tuple[int, ...]):
    """Ids that end an answer, and the text that does so.

    A beam ends with an id. With the text a beam search ends as a whole, once all continuations that
    it looks at have come to it: the published code asks for all or none.
    """

    stop: Stop | None

    def __new__(cls, ids: Iterable[int], stop: Stop | None = None) -> EndTokens:
        made = super().__new__(cls, sorted(set(ids)))
        made.stop = stop
        return made


def stop_of(end_tokens: Sequence[int]) -> Stop | None:
    """The text that ends an answer; None for plain ids."""
    return end_tokens.stop if isinstance(end_tokens, EndTokens) else None


def end_tokens(
    language_model: Any, tokenizer: Tokenizer, mode: Conversation, folder: Path
) -> EndTokens:
    """What ends an answer of a checkpoint in a conversation mode.

    The ids are those of `generation_config.json`, else of `config.json`, as in transformers.

    Raises:
        InputError: ids that are no numbers.
    """
    path = folder / "generation_config.json"
    if path.is_file():
        raw = read_json(path)
        named = raw.get("eos_token_id") if isinstance(raw, dict) else raw
    else:
        path, named = folder / "config.json", language_model.config.eos_token_id
    ids = [one for one in (named if isinstance(named, list) else [named]) if one is not None]
    if wrong := [one for one in ids if type(one) is not int or one < 0]:
        raise InputError(f"{path}: eos_token_id holds {wrong[0]!r}, a token's id was expected")
    return EndTokens(ids, _stop(tokenizer, mode.stop, ids))


def _stop(tokenizer: Tokenizer, text: str, ends: Sequence[int]) -> Stop | None:
    if not text:
        return None
    ids = tokenizer.encode(text)
    if len(ids) > 1 and ids[0] == tokenizer.bos_token_id:
        ids = ids[1:]
    # A token that ends an answer anyway, and is never spelled out, need not be looked for.
    if not ids or (len(ids) == 1 and ids[0] in ends and text not in tokenizer.decode(ids)):
        return None
    return Stop(text, tuple(ids), tokenizer)
