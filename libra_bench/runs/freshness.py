"""Do the scores of a run folder belong to the predictions and examples that lie beside them?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from libra_bench.core.errors import InputError
from libra_bench.core.files import listing
from libra_bench.core.identity import set_hash, text_hash
from libra_bench.core.records import Example, Prediction
from libra_bench.runs.folder import RunFolder
from libra_bench.runs.scoring import hashes_of, prediction_hash

if TYPE_CHECKING:
    import pandas as pd

UNFINISHED = ("failed", "cancelled")
"""Statuses of runs whose scores may be of an earlier start, or of half the reports."""


def require_finished(folder: RunFolder) -> None:
    """Refuse a run that ended without its scores.

    Raises:
        InputError: as it says.
    """
    manifest = folder.manifest()
    status = manifest.get("status")
    if status in UNFINISHED:
        cause = f" ({manifest['error']})" if manifest.get("error") else ""
        raise InputError(
            f"{folder.path}: its status is {status!r}{cause}; `libra-bench run --resume` with its "
            f"--output finishes it, and where all its reports are written "
            f"`libra-bench score --run {folder.path}` scores them"
        )


def require_fresh(
    folder: RunFolder,
    summary: dict[str, Any],
    frame: pd.DataFrame,
    examples: Sequence[Example],
    predictions: Sequence[Prediction],
) -> None:
    """Refuse scores of other texts than those that lie in the folder.

    Runs from before hashes were kept are taken as they are.

    Raises:
        InputError: predictions or references that were changed after scoring, by id; a summary
            and scores of two scorings.
    """
    known = summary.get("hashes")
    kept = {"prediction_hash", "reference_hash"} <= set(frame.columns)
    if known is None and not kept:
        return
    again = f"`libra-bench score --run {folder.path}` scores them again"
    if not kept or known != hashes_of(frame):
        raise InputError(
            f"{folder.path}: {folder.summary_file.name} and {folder.scores_file.name} are of "
            f"different scorings; {again}"
        )
    now = {
        "reference": {one.question_id: text_hash(one.reference) for one in examples},
        "prediction": {one.question_id: prediction_hash(one) for one in predictions},
    }
    if known == {
        "cohort": set_hash(now["reference"].items()),
        "predictions": set_hash(now["prediction"].items()),
    }:
        return
    faults = []
    ids = frame["question_id"].astype(str)
    for kind, hashes in now.items():
        scored = dict(zip(ids, frame[f"{kind}_hash"], strict=True))
        for key in dict.fromkeys([*scored, *hashes]):
            if key not in hashes:
                faults.append(f"the {kind} of id {key!r} was scored and is gone")
            elif key not in scored:
                faults.append(f"the {kind} of id {key!r} was not scored")
            elif scored[key] != hashes[key]:
                faults.append(f"the {kind} of id {key!r} was changed after it was scored")
    raise InputError(f"{folder.path}: {listing(faults, 5)}\n{again}")
