"""What stands beside a tokenizer's vocabulary: its special tokens, and tokens that were added."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from libra_bench.core.errors import InputError
from libra_bench.core.files import read_json

ROLES = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")


@dataclass(frozen=True)
class AddedToken:
    """A token that is cut out of a text before anything else looks at it.

    Attributes:
        left, right: whether it takes the white space on that side along.
        single_word: whether it stands for itself only between spaces.
        special: whether it is left out of a decoded text (by `tokenizer.json`'s rule).
    """

    content: str
    left: bool = False
    right: bool = False
    single_word: bool = False
    normalized: bool = False
    special: bool = False


@dataclass(frozen=True)
class TokenizerSettings:
    """A folder's `tokenizer_config.json`, completed as transformers 4.51.3 does.

    Attributes:
        roles: the special tokens by role (`bos`, `eos`, …); a role without a token is absent.
        additional: further special tokens.
        added: tokens by id.
    """

    raw: Mapping[str, Any]
    roles: Mapping[str, AddedToken] = field(default_factory=dict)
    additional: tuple[AddedToken, ...] = ()
    added: Mapping[int, AddedToken] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The tokenizer's class in transformers, as the folder names it; Llama's if it does not."""
        return str(self.raw.get("tokenizer_class") or "LlamaTokenizer")

    @property
    def special(self) -> list[AddedToken]:
        """All special tokens, each once."""
        return list({one.content: one for one in (*self.roles.values(), *self.additional)}.values())

    def flag(self, name: str, default: bool) -> bool:
        """A setting that is on or off."""
        value = self.raw.get(name)
        return default if value is None else bool(value)

    def with_defaults(self, **tokens: str) -> TokenizerSettings:
        """With a class' own token for each role that the folder does not name at all."""
        unnamed = {
            role: AddedToken(text, special=True)
            for role, text in tokens.items()
            if f"{role}_token" not in self.raw
        }
        return replace(self, roles={**unnamed, **self.roles})


def read_settings(folder: Path) -> TokenizerSettings:
    """The settings of the tokenizer in a folder.

    Tokens that were added stand in `tokenizer_config.json`; a folder of an older release has them
    in `added_tokens.json`, `special_tokens_map.json` and `tokenizer.json`, read only then.

    Raises:
        InputError: a file that is no JSON, or holds something else than a tokenizer's settings.
    """
    path = folder / "tokenizer_config.json"
    raw = _table(path) if path.is_file() else {}
    try:
        if raw.get("added_tokens_decoder") is not None:
            added = {
                int(number): _token(one) for number, one in raw["added_tokens_decoder"].items()
            }
            return _settings(raw, added)
        path = folder / "special_tokens_map.json"
        if path.is_file():
            raw = {**raw, **_table(path)}
        return _settings(raw, _older_tokens(folder, raw))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not a tokenizer's settings ({error!r})") from None


def _settings(raw: Mapping[str, Any], added: dict[int, AddedToken]) -> TokenizerSettings:
    known = {one.content: one for one in added.values()}
    roles = {
        role: known.get(token.content, token)
        for role in ROLES
        if raw.get(f"{role}_token") is not None
        for token in [_token(raw[f"{role}_token"], special=True)]
    }
    listed = raw.get("additional_special_tokens") or raw.get("extra_special_tokens") or []
    more = listed.values() if isinstance(listed, dict) else listed
    return TokenizerSettings(raw, roles, tuple(_token(one, special=True) for one in more), added)


def _older_tokens(folder: Path, raw: Mapping[str, Any]) -> dict[int, AddedToken]:
    special = {one.content for one in _settings(raw, {}).special}
    added: dict[int, AddedToken] = {}
    path = folder / "added_tokens.json"
    if path.is_file():
        for text, number in _table(path).items():
            one = text in special
            added[int(number)] = AddedToken(str(text), special=one, normalized=not one)
    path = folder / "tokenizer.json"
    if path.is_file():
        for row in _table(path).get("added_tokens") or []:
            added[int(row["id"])] = _token(row)
    return added


def _token(raw: Any, *, special: bool | None = None) -> AddedToken:
    """A token from its text or its JSON object."""
    if isinstance(raw, str):
        return AddedToken(raw, special=bool(special))
    return AddedToken(
        content=str(raw["content"]),
        left=bool(raw.get("lstrip", False)),
        right=bool(raw.get("rstrip", False)),
        single_word=bool(raw.get("single_word", False)),
        normalized=bool(raw.get("normalized", False)),
        special=bool(raw.get("special", False) if special is None else special),
    )


def _table(path: Path) -> dict[str, Any]:
    value = read_json(path)
    if not isinstance(value, dict):
        raise InputError(f"{path}: a JSON object was expected")
    return value


def cleaned_up(text: str) -> str:
    """A decoded text with `clean_up_tokenization_spaces`: no space before punctuation."""
    for spaced, plain in (
        (" .", "."),
        (" ?", "?"),
        (" !", "!"),
        (" ,", ","),
        (" ' ", "'"),
        (" n't", "n't"),
        (" 'm", "'m"),
        (" 's", "'s"),
        (" 've", "'ve"),
        (" 're", "'re"),
    ):
        text = text.replace(spaced, plain)
    return text
