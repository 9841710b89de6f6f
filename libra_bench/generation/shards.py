"""Shards: a cohort cut into parts for several machines."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeVar

from libra_bench.core.errors import InputError

Item = TypeVar("Item")


def take(items: Sequence[Item], shard: str) -> list[Item]:
    """The K-th of N parts, counted from 1: consecutive, and equal to within one item.

    The parts joined in their order are the whole, so that `cat` merges their predictions.

    Args:
        shard: `K/N`.

    Raises:
        InputError: `shard` has another form, or K lies outside 1 to N.
    """
    form = re.fullmatch(r"(\d+)/(\d+)", shard)
    if not form or not 1 <= int(form[1]) <= int(form[2]):
        raise InputError(f"--shard {shard!r}: K/N was expected, with K from 1 to N")
    part, parts = int(form[1]), int(form[2])
    return list(items[len(items) * (part - 1) // parts : len(items) * part // parts])
