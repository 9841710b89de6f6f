"""Which files of a repository are read, so that the others are not fetched."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from libra_bench.hub.lookup import Source

_SETTINGS = ("*.json", "*.txt", "*.model", "*.jinja")
_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "*.bin", "*.bin.index.json", "*.pt")
_NEVER = (
    *("training_args.bin", "optimizer.*", "scheduler.*", "rng_state*", "trainer_state.json"),
    *("*_results.json", "README*", "LICENSE*", "requirements.txt", "consolidated*"),
)
_TWICE = (
    ("model*.safetensors*", "pytorch_model*.bin*"),
    ("adapter_model*.safetensors*", "adapter_model*.bin*"),
)
"""Where files of the first pattern are there, those of the second hold the same weights."""


def wanted(source: Source, names: Iterable[str]) -> list[str]:
    """The files to fetch of those that a repository has, in their order.

    Files in folders of the repository are read by nobody, unless they are named.
    """
    names = list(names)
    if source.files:
        return [name for name in names if name in source.files]
    top = [name for name in names if "/" not in name and not _is(name, _NEVER)]
    if source.weights:
        for first, second in _TWICE:
            if any(_is(name, (first,)) for name in top):
                top = [name for name in top if not _is(name, (second,))]
        return [name for name in top if _is(name, (*_SETTINGS, *_WEIGHTS))]
    return [name for name in top if _is(name, _SETTINGS) and not name.endswith(".index.json")]


def _is(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
