"""Decoding protocols by name: the settings that must stand beside every score."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields, replace
from math import inf, isfinite
from numbers import Integral, Real
from typing import Any

from libra_bench.core.errors import InputError
from libra_bench.core.files import sha256_of_text
from libra_bench.core.names import unknown_name

_KINDS: dict[str, tuple[type, str]] = {
    "int": (Integral, "a whole number"),
    "float": (Real, "a number"),
    "bool": (bool, "true or false"),
}
"""What a setting of each type may be: a notebook hands over anything."""


def _is_of(kind: str, value: object) -> bool:
    return isinstance(value, _KINDS[kind][0]) and (kind == "bool") is isinstance(value, bool)


@dataclass(frozen=True)
class Decoding:
    """How text is chosen from the model's logits. Fields are `transformers`' generation names."""

    name: str
    num_beams: int = 1
    length_penalty: float = 1.0
    """Exponent on the generated length (the prompt is not counted), as in `transformers`."""
    no_repeat_ngram_size: int = 0
    """The ban covers the prompt's ids as well."""
    max_new_tokens: int = 1024
    min_new_tokens: int = 0
    do_sample: bool = False
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 50
    """`transformers`' own default, which Libra's script leaves as it is; 0 switches it off."""
    seed: int = 0
    """Only used when sampling."""
    dtype: str = "auto"
    """The type that the model computes in on a GPU; a CPU computes in float32. Once a model is
    loaded: the type it did compute in. `auto`: what `load_model` takes."""

    def __post_init__(self) -> None:
        wrong_kinds = [
            f"{one.name} must be {_KINDS[kind][1]}, not {value!r:.80}"
            for one in fields(self)
            if (kind := str(one.type)) in _KINDS
            and not _is_of(kind, value := getattr(self, one.name))
        ]
        if wrong_kinds:
            raise InputError("decoding: " + "; ".join(wrong_kinds))
        faults = [
            message
            for wrong, message in (
                (self.num_beams < 1, "num_beams must be at least 1"),
                (self.max_new_tokens < 1, "max_new_tokens must be at least 1"),
                (
                    not 0 <= self.min_new_tokens <= self.max_new_tokens,
                    "min_new_tokens must lie between 0 and max_new_tokens",
                ),
                (self.no_repeat_ngram_size < 0, "no_repeat_ngram_size must not be negative"),
                (not 0 < self.temperature < inf, "temperature must be a number above 0"),
                (not isfinite(self.length_penalty), "length_penalty must be a number"),
                (self.top_k < 0, "top_k must not be negative"),
                (self.seed < 0, "seed must not be negative"),
                (not 0 < self.top_p <= 1, "top_p must lie in (0, 1]"),
                (self.do_sample and self.num_beams > 1, "sampling goes with num_beams=1 only"),
            )
            if wrong
        ]
        if faults:
            raise InputError("decoding: " + "; ".join(faults))

    def settings(self) -> dict[str, Any]:
        """The settings that have an effect; without sampling its own settings have none."""
        settings = asdict(self)
        if not self.do_sample:
            for unused in ("temperature", "top_p", "top_k", "seed"):
                settings.pop(unused)
        if self.num_beams == 1:
            settings.pop("length_penalty")
        if self.dtype == "auto":
            settings.pop("dtype")
        return settings

    def seed_of(self, key: str) -> int:
        """The seed for one study: sampling does not depend on the others or on their order."""
        return int(sha256_of_text(f"{self.seed}:{key}")[:15], 16)

    def over(self, brought: Mapping[str, int], named: Collection[str] = ()) -> Decoding:
        """The same with settings that a checkpoint brings, where they have not been chosen.

        Args:
            brought: settings of the checkpoint.
            named: settings that the caller chose.
        """
        plain = {one.name: one.default for one in fields(self)}
        changes: dict[str, Any] = {
            name: value
            for name, value in brought.items()
            if name not in named and getattr(self, name) == plain[name]
        }
        if not self.do_sample:
            changes.pop("top_k", None)
        return replace(self, **changes)

    def signature(self) -> str:
        """One line that identifies the decoding in signatures and files."""
        return ",".join(f"{key}={value}" for key, value in self.settings().items())


PROTOCOLS: dict[str, Decoding] = {
    protocol.name: protocol
    for protocol in (
        # Libra's paper: 10 beams, length penalty 2, no repeated 3-grams. The published code loads
        # every model in float16.
        Decoding(
            "libra-paper",
            num_beams=10,
            length_penalty=2.0,
            no_repeat_ngram_size=3,
            dtype="float16",
        ),
        # Libra's script libra_eval.sh as it stands, which differs from the paper ...
        Decoding(
            "libra-script-beam",
            num_beams=5,
            length_penalty=2.0,
            no_repeat_ngram_size=3,
            max_new_tokens=128,
            dtype="float16",
        ),
        # ... and its alternative, sampling, where the ban on 3-grams is commented out.
        Decoding(
            "libra-script-sample",
            do_sample=True,
            temperature=0.9,
            top_p=0.6,
            max_new_tokens=128,
            dtype="float16",
        ),
        Decoding("greedy"),
        # What the packaged libra-tiny was made for: its reports have fewer than 96 tokens.
        Decoding("demo", max_new_tokens=96),
    )
}


def protocol(name: str, **overrides: Any) -> Decoding:
    """The protocol `name`; an override that is not None changes a setting and the name.

    A changed protocol is called `NAME+custom`, so that no figure claims settings it did not have.
    """
    if name not in PROTOCOLS:
        raise unknown_name("protocol", name, PROTOCOLS)
    base = PROTOCOLS[name]
    for key in overrides:
        if not hasattr(base, key):
            raise unknown_name("decoding setting", key, asdict(base))
    changes = {
        key: value
        for key, value in overrides.items()
        if value is not None and value != getattr(base, key)
    }
    return replace(base, name=f"{name}+custom", **changes) if changes else base
