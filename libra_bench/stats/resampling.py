"""Drawing clusters with replacement: how often each is drawn, and the sums that result."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from libra_bench.stats.clusters import Floats

Finalise = Callable[[Floats], dict[str, Floats]]
"""From summed statistics [..., k] to figures [...] by name."""

CHUNK = 512
"""Trials at a time, at most."""
CELLS = 1 << 19
"""Resampling counts at a time; bounds their memory (4 MiB an array) however many clusters."""


def counts_by_trial(count: int, trials: int, seed: int) -> Iterator[Floats]:
    """How often each of `count` clusters is drawn: [up to CHUNK, count] at a time.

    The draws are the same however many are made at a time.
    """
    rng = np.random.default_rng(seed)
    chunk = max(1, min(CHUNK, CELLS // max(count, 1)))
    for start in range(0, trials, chunk):
        size = min(chunk, trials - start)
        # Counting drawn indices costs a fifth of drawing multinomial counts, to the same effect.
        drawn = rng.integers(0, count, size=(size, count))
        drawn += np.arange(size)[:, None] * count
        counts = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count)
        yield counts.astype(np.float64)


def replicates(sums: Floats, trials: int, seed: int) -> Floats:
    """Sums over resampled clusters.

    Args:
        sums: [c, k] statistics by cluster.

    Returns:
        [trials, k], each row the sum over c clusters drawn with replacement. The same seed and
        number of clusters give the same draws whatever k is.
    """
    return np.concatenate([counts @ sums for counts in counts_by_trial(len(sums), trials, seed)])
