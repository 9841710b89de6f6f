"""Look-ups by name that answer a wrong name with the nearest right one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from libra_bench.core.errors import InputError


def unknown_name(kind: str, name: str, known: Iterable[str]) -> InputError:
    """The error for a `name` that is no `kind`: what was meant, perhaps, and what there is."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    meant = f" Did you mean {near[0]!r}?" if near else ""
    return InputError(f"unknown {kind} {name!r}.{meant} Known: {', '.join(names)}")
