"""From a scored run to what the gate judges: a baseline of its own, whatever it is held against."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from libra_bench.core.errors import InputError
from libra_bench.core.files import listing
from libra_bench.core.identity import text_hash
from libra_bench.core.records import Example, Prediction, is_missing
from libra_bench.gate.baseline import Baseline, Made, Quality, Score, Statistics
from libra_bench.metrics import registry
from libra_bench.metrics.scoring import scored_metrics, statistics_of
from libra_bench.metrics.signatures import UNKNOWN, parts_of
from libra_bench.runs.comparing import read_scores
from libra_bench.runs.folder import RunFolder
from libra_bench.runs.freshness import require_finished, require_fresh
from libra_bench.version import __version__

if TYPE_CHECKING:
    import pandas as pd

MARK = 2
"""Hexadecimal digits of a reference's mark."""
_LIMIT = re.compile(r"(?:^|,)max_new_tokens=(\d+)(?:,|$)")


@dataclass(frozen=True)
class Run:
    """A scored run folder, read once."""

    path: Path
    examples: Sequence[Example]
    predictions: Sequence[Prediction]
    frame: pd.DataFrame
    """Its scores, a row a report, in the order of `evidence.ids`."""
    evidence: Baseline

    def texts(self) -> dict[str, tuple[str, str]]:
        """(prediction, reference) by id."""
        written = {one.question_id: one.text for one in self.predictions}
        return {
            one.question_id: (written.get(one.question_id, ""), one.reference)
            for one in self.examples
        }


def read_run(path: Path) -> Run:
    """A run folder as the gate sees it.

    Raises:
        InputError: no run, one that is unfinished, or scores that are of other texts.
    """
    folder = RunFolder.open(path)
    require_finished(folder)
    summary, frame = folder.summary(), read_scores(path)
    examples, predictions = folder.examples(), folder.predictions()
    require_fresh(folder, summary, frame, examples, predictions)
    if "hashes" not in summary:
        raise InputError(
            f"{path}: was scored before scores named their texts; "
            f"`libra-bench score --run {path}` scores it again"
        )
    evidence = _evidence(path, summary, frame, predictions)
    return Run(path, examples, predictions, frame, evidence)


def _evidence(
    path: Path, summary: dict[str, Any], frame: pd.DataFrame, predictions: Sequence[Prediction]
) -> Baseline:
    profile = str(frame["profile"].iloc[0])
    scores = summary.get("metrics") or {}
    ids = [str(key) for key in frame["question_id"]]
    by_id = {one.question_id: one for one in predictions}
    facts, hashes = summary.get("run", {}), summary["hashes"]
    return Baseline(
        program=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        cohort=str(facts.get("cohort", UNKNOWN)),
        profile=profile,
        made=_made(facts, scores),
        cohort_hash=hashes["cohort"],
        predictions_hash=hashes["predictions"],
        ids=ids,
        patients=_numbered(frame),
        reference_marks=[
            text_hash(*pair)[:MARK] for pair in zip(ids, frame["reference_hash"], strict=True)
        ],
        quality=quality_of([by_id[key] for key in ids]),
        metrics={
            name: _statistics(path, name, profile, frame, scores) for name in scored_metrics(frame)
        },
        not_scored={
            name: str(gap.get("reason", "")) for name, gap in summary.get("not_scored", {}).items()
        },
    )


def _made(facts: dict[str, Any], scores: dict[str, Any]) -> Made:
    signature = next((parts_of(one.get("signature", "")) for one in scores.values()), {})
    model, _, weights = signature.get("model", UNKNOWN).rpartition("@")
    return Made(
        model=model or UNKNOWN,
        weights=weights or UNKNOWN,
        protocol=str((facts.get("protocol") or {}).get("name", UNKNOWN)),
        decoding=signature.get("decoding", UNKNOWN),
    )


def _numbered(frame: pd.DataFrame) -> list[int | None]:
    """Patients as numbers in order of appearance; None where unknown."""
    if "subject_id" not in frame.columns:
        return [None] * len(frame)
    numbers: dict[str, int] = {}
    return [
        None if is_missing(one) else numbers.setdefault(str(one), len(numbers))
        for one in frame["subject_id"].astype(object)
    ]


def _statistics(
    path: Path, name: str, profile: str, frame: pd.DataFrame, scores: dict[str, Any]
) -> Statistics:
    metric = registry.create(name, profile)
    missing = [one.name for one in metric.outputs if one.name not in scores]
    if missing:
        raise InputError(
            f"{path}: scores.parquet has statistics of {name}, and summary.json no "
            f"{listing(missing, 3)}; `libra-bench score --run {path}` scores it again"
        )
    values = statistics_of(frame, metric)
    return Statistics(
        scores={
            one.name: Score(
                title=one.title,
                value=None if is_missing(value := scores[one.name]["value"]) else value,
                higher_is_better=one.higher_is_better,
                signature=scores[one.name]["signature"],
            )
            for one in metric.outputs
        },
        columns={
            key: [None if is_missing(value) else value for value in values[:, place].tolist()]
            for place, key in enumerate(metric.statistics)
        },
    )


def quality_of(predictions: Sequence[Prediction]) -> Quality:
    """What can be wrong with texts whatever they say."""
    delivered = [one.text.strip() if one.status == "ok" else "" for one in predictions]
    counts = Counter(text for text in delivered if text)
    cut = [_truncated(one) for one in predictions]
    return Quality(
        failed=[one.status == "failed" for one in predictions],
        empty=[
            not text and one.status == "ok"
            for one, text in zip(predictions, delivered, strict=True)
        ],
        words=[len(text.split()) for text in delivered],
        repeated=[counts[text] > 1 for text in delivered],
        truncated=None if all(one is None for one in cut) else [bool(one) for one in cut],
    )


def _truncated(prediction: Prediction) -> bool | None:
    """Whether an answer took all tokens that it was given; None where it does not tell."""
    metadata = (prediction.model_extra or {}).get("metadata") or {}
    limit = _LIMIT.search(str(metadata.get("decoding", "")))
    if limit is None or prediction.new_tokens is None:
        return None
    return prediction.new_tokens >= int(limit[1])
