"""What a folder's work was begun with, so that nothing else is mixed into it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from libra_bench.core.errors import InputError
from libra_bench.core.files import read_json, write_json
from libra_bench.core.outputs import check_folder, holds_something

ASKED = "asked.json"


def check_begun(output: Path, *, resume: bool, older: str = ASKED) -> None:
    """Refuse a folder in which no such work can begin, or none can go on; nothing is touched.

    Args:
        older: a pattern of files by which work of a version without `asked.json` is known.

    Raises:
        InputError: it holds something; with `resume`, something else than such work.
    """
    check_folder(output)
    if not holds_something(output):
        return
    ours = (output / ASKED).is_file() or any(output.glob(older))
    if not (resume and ours):
        hint = "--resume continues it, " if ours else ""
        raise InputError(f"{output} is not empty: {hint}another --output keeps it")


def require_same(output: Path, asked: dict[str, Any]) -> None:
    """Write down what was asked; refuse to go on with something else.

    Raises:
        InputError: each setting that differs is named; nothing was changed.
    """
    record = output / ASKED
    if record.is_file():
        before = read_json(record)
        if not isinstance(before, dict):
            raise InputError(f"{record}: a JSON object was expected")
        differing = [
            f"{name}: {before.get(name)} there, {asked.get(name)} now"
            for name in sorted({*before, *asked})
            if before.get(name) != asked.get(name)
        ]
        if differing:
            raise InputError(
                f"{output}: was begun with other settings ({'; '.join(differing)}); "
                "choose another --output"
            )
    else:
        write_json(record, asked)
