"""Which studies moved a figure: the change of the figure were one study as in the baseline."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from libra_bench.gate.decision import Pair
from libra_bench.gate.judgement import Moved
from libra_bench.gate.quality import MOST
from libra_bench.stats.change import EQUAL
from libra_bench.stats.clusters import Floats


def influences(pair: Pair, score: str, rows: NDArray[np.bool_]) -> Floats:
    """How much each report's change moved a corpus score: [n], below 0 to the bad side.

    The score as it is, less the score with the baseline's statistics in this report's place; 0 for
    reports that are not in `rows` or not scored on both sides.
    """
    output = next(one for one in pair.metric.outputs if one.name == score)
    used = rows & pair.both
    total = pair.now[used].sum(axis=0)
    swapped = total[None, :] - pair.now[used] + pair.before[used]
    moved = np.zeros(len(rows))
    moved[used] = pair.metric.finalise(total)[score] - pair.metric.finalise(swapped)[score]
    return np.nan_to_num(moved if output.higher_is_better else -moved)


def most_moved(
    pair: Pair, score: str, rows: NDArray[np.bool_], ids: list[str]
) -> tuple[Moved, ...]:
    """The studies that moved a score most to the bad side, at most five."""
    moved = influences(pair, score, rows)
    order = np.argsort(moved, kind="stable")[:MOST]
    return tuple(Moved(ids[row], float(moved[row])) for row in order if moved[row] < -EQUAL)
