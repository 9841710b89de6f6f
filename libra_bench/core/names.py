"""Look-ups by name that answer a wrong name with the nearest right one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from libra_bench.core.errors import InputError

MANY = 60
"""More names than this are not listed: nobody reads them."""


def unknown_name(
    kind: str, name: str, known: Iterable[str], near: Sequence[str] = ()
) -> InputError:
    """The error for a `name` that is no `kind`: what was meant, perhaps, and what there is.

    Args:
        near: names that are likelier meant than those of similar spelling.
    """
    names = sorted(known)
    likely = list(near) or difflib.get_close_matches(str(name), names, n=1)
    meant = f" Did you mean {' or '.join(map(repr, likely))}?" if likely else ""
    shown = f" Known: {', '.join(names)}" if len(names) <= MANY else ""
    return InputError(f"unknown {kind} {name!r}.{meant}{shown}")
