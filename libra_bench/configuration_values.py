"""The values of `[run]`: names that there are, files that lie there. No weights are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from libra_bench.core.errors import InputError
from libra_bench.core.names import unknown_name
from libra_bench.generation.engines import ENGINES
from libra_bench.generation.protocols import PROTOCOLS, Decoding, protocol
from libra_bench.model.zoo import ZOO

Key = tuple[str | int, ...]
_AUTO = "auto"


def run_values(run: Mapping[str, Any], folder: Path) -> Iterator[tuple[Key, str]]:
    """Faults of the table's values that their types do not show, by key below `run`.

    Args:
        run: the table as it was read; values of wrong types are told elsewhere.
        folder: of the file; paths are relative to it.
    """
    texts = {name: value for name, value in run.items() if isinstance(value, str)}
    for name, check in _checks(folder).items():
        if name not in texts:
            continue
        try:
            check(texts[name])
        except InputError as error:
            yield (name,), str(error)
    if "batch_size" in run and not _is_batch_size(run["batch_size"]):
        yield ("batch_size",), f"{run['batch_size']!r}: a positive number or `auto` was expected"
    yield from _decoding(run)


def _checks(folder: Path) -> dict[str, Callable[[str], object]]:
    """What refuses a value, by key."""

    def among(kind: str, known: Mapping[str, Any] | tuple[str, ...]) -> Callable[[str], None]:
        def check(name: str) -> None:
            if name not in known:
                raise unknown_name(kind, name, known)

        return check

    def model(name: str) -> None:
        if name not in ZOO and not (folder / Path(name).expanduser()).is_dir():
            raise unknown_name("model (and no folder of that name)", name, ZOO)

    def place(name: str) -> None:
        if not (folder / Path(name).expanduser()).is_dir():
            raise InputError(f"there is no folder {folder / Path(name).expanduser()}")

    def data(spec: str) -> None:
        from libra_bench.data.corpora import CORPORA

        kind, _, path = spec.partition(":")
        if kind not in CORPORA:
            raise unknown_name("kind of data", kind, CORPORA)
        if path and not (folder / Path(path).expanduser()).exists():
            raise InputError(f"there is no {folder / Path(path).expanduser()}")

    def section(name: str) -> None:
        from libra_bench.data.corpora import SECTIONS

        among("section", dict.fromkeys(SECTIONS))(name)

    def policy(name: str) -> None:
        from libra_bench.data.corpora import WITHOUT_PRIOR
        from libra_bench.data.pairing import POLICIES

        among("prior policy", dict.fromkeys([WITHOUT_PRIOR, *POLICIES]))(name)

    def mode(name: str) -> None:
        from libra_bench.model.conversation import conversation

        conversation(name)

    def device(name: str) -> None:
        if name not in (_AUTO, "cpu"):
            from libra_bench.model.loading import resolve_device

            resolve_device(name)

    def dtype(name: str) -> None:
        if name != _AUTO:
            from libra_bench.model.loading import resolve_dtype

            resolve_dtype(name, "cpu")

    return {
        "model": model,
        "data": data,
        "corpus": data,
        "section": section,
        "prior_policy": policy,
        "protocol": among("protocol", PROTOCOLS),
        "engine": among("engine", ENGINES),
        "device": device,
        "dtype": dtype,
        "conv_mode": mode,
        "image_root": place,
        "model_base": place,
        "vision_tower": place,
    }


def _is_batch_size(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return True  # Another type is told by the table.
    text = str(value)
    return text == _AUTO or (text.isascii() and text.isdigit() and int(text) >= 1)


def _decoding(run: Mapping[str, Any]) -> Iterator[tuple[Key, str]]:
    """Settings that are unknown, of another type, or that contradict each other."""
    given = run.get("decoding")
    if not isinstance(given, dict):
        return
    kinds = {one.name: type(one.default) for one in fields(Decoding) if one.name != "name"}
    faults: list[tuple[Key, str]] = []
    for name, value in given.items():
        if name not in kinds:
            error = unknown_name("decoding setting", name, kinds)
            faults.append((("decoding", name), str(error)))
        elif not _is_a(value, kinds[name]):
            faults.append((("decoding", name), f"{value!r}: {_NAMES[kinds[name]]} was expected"))
    if not faults:
        base = run.get("protocol")
        try:
            protocol(base if base in PROTOCOLS else "greedy", **given)
        except InputError as error:
            faults.append((("decoding",), str(error)))
    yield from faults


_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def _is_a(value: Any, kind: type) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
