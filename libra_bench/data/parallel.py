"""Work done ahead by a pool, taken in order, with a bound on what waits."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from itertools import islice
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_WORKERS = 8


def default_workers() -> int:
    """The processors this process may use, at most `MOST_WORKERS`."""
    # Only Linux knows which processors a process may use.
    allowed = getattr(os, "sched_getaffinity", None)
    return min(len(allowed(0)) if allowed else os.cpu_count() or 1, MOST_WORKERS)


def begin_worker() -> None:
    """What a process of a pool does first: leave interruptions to the parent, and end with it.

    A parent that is killed outright tells nobody, and its workers would wait for work for ever.
    """
    for number in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, number):
            quiet = signal.SIG_IGN if number == "SIGINT" else signal.SIG_DFL
            signal.signal(getattr(signal, number), quiet)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


def batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of `size` items, the last one shorter."""
    source = iter(items)
    while batch := list(islice(source, size)):
        yield batch


def in_order(
    pool: Executor, work: Callable[[Item], Result], items: Iterable[Item], ahead: int
) -> Iterator[Result]:
    """`map(work, items)` with at most `ahead` items in work or waiting to be taken.

    An error of `work` or `items` is raised where its result would have come; what had not begun
    by then is not begun any more.
    """
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
            waiting.append(pool.submit(work, item))
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
