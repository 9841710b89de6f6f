"""Scoring a run: predictions and references in, `scores.parquet` and `summary.json` out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from libra_bench.core.errors import InputError
from libra_bench.core.files import listing, write_atomic, write_json
from libra_bench.core.records import Example, Prediction
from libra_bench.runs import forms
from libra_bench.runs.folder import RunFolder
from libra_bench.runs.unscored import refuse_nothing

if TYPE_CHECKING:
    import pandas as pd

    from libra_bench.metrics.base import Metric
    from libra_bench.metrics.scoring import Scores


@dataclass(frozen=True)
class ScoringSettings:
    """Which metrics, and how sure to be of them."""

    metrics: Sequence[str] | None = None
    """Names; None for the profile's core metrics."""
    profile: str = "libra"
    options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    subgroups: Sequence[str] | None = None
    """Columns that split the cohort: any field of the examples; None for what is usual."""
    trials: int = 1000
    seed: int = 0
    level: float = 0.95

    def create(self) -> list[Metric]:
        """The metrics.

        Raises:
            InputError: unknown names or options.
        """
        from libra_bench.metrics import registry

        names = list(self.metrics) if self.metrics else registry.core(self.profile)
        return registry.create_all(names, self.profile, self.options)

    def check(self) -> None:
        """Refuse wrong names before any work starts."""
        self.create()


def score_run(
    folder: RunFolder,
    settings: ScoringSettings,
    *,
    facts: Mapping[str, Any],
    on_step: Callable[[str], None] = lambda step: None,
) -> dict[str, Any]:
    """Score what a run has generated; writes `scores.parquet` and `summary.json`.

    Args:
        facts: what was run, as the summary tells it.

    Returns:
        The summary.
    """
    examples = folder.examples()
    predictions = folder.predictions()
    result = evaluate(examples, predictions, settings, on_step)
    manifest = folder.manifest()
    seconds = sum(one.seconds or 0.0 for one in predictions)
    done = [one for one in predictions if one.status == "ok"]
    summary = {
        "format": 1,
        "run": {
            "id": manifest["id"],
            **facts,
            "profile": settings.profile,
            "created": manifest["created"],
            "status": "finished",
        },
        "n": len(examples),
        "generated": len(done),
        "failed": len(predictions) - len(done),
        "with_prior": sum(example.has_prior for example in examples),
        "seconds": seconds,
        "reports_per_second": len(done) / seconds if seconds else math.nan,
        **result.summary(),
    }
    write_atomic(folder.scores_file, result.frame.to_parquet(index=False))
    write_json(folder.summary_file, summary)
    return summary


@dataclass
class Result:
    """Scores of one set of predictions."""

    frame: pd.DataFrame
    """A row a report: ids, subgroups, figures, statistics."""
    scores: Scores
    suffix: str
    subgroups: list[dict[str, Any]]
    notes: list[str]

    def summary(self) -> dict[str, Any]:
        """The figures as `summary.json` and `score --json` hold them."""
        figures = {name: asdict(figure) for name, figure in self.scores.figures.items()}
        for figure in figures.values():
            figure["signature"] += self.suffix
        return {
            "metrics": figures,
            "not_scored": self.scores.not_scored,
            "subgroups": self.subgroups,
            "notes": self.notes,
        }


def evaluate(
    examples: Sequence[Example],
    predictions: Sequence[Prediction],
    settings: ScoringSettings,
    on_step: Callable[[str], None] = lambda step: None,
) -> Result:
    """Score predictions against the examples' references, matched by `question_id`.

    Raises:
        InputError: ids on one side only; all of them are named.
    """
    from libra_bench.metrics.scoring import score_texts, to_frame
    from libra_bench.runs.subgroups import by_subgroup

    matched = match(examples, predictions)
    pairs = [
        forms.pair(example, one, settings.profile)
        for example, one in zip(examples, matched, strict=True)
    ]
    texts, references = [one[0] for one in pairs], [one[1] for one in pairs]
    refuse_nothing(texts, references)
    clusters = [example.subject_id or example.question_id for example in examples]
    metrics = settings.create()
    scores = score_texts(
        texts,
        references,
        metrics,
        clusters=clusters,
        trials=settings.trials,
        seed=settings.seed,
        level=settings.level,
        progress=on_step,
    )
    identities = _identities(examples, matched, settings.profile)
    columns = _subgroup_columns(identities, examples, settings.subgroups)
    labels = _labelled(examples, settings.profile)
    frame = identities.join(_with_labels(to_frame(scores, metrics), labels))
    notes = []
    blank = [one.question_id for one in examples if not one.reference.strip()]
    if blank:
        notes.append(
            f"{len(blank)} examples have an empty reference and are not scored: "
            + ", ".join(blank[:10])
            + (" ..." if len(blank) > 10 else "")
        )
    return Result(
        frame=frame,
        scores=scores,
        suffix=labels + _made_by(matched),
        subgroups=by_subgroup(
            frame,
            clusters,
            scores.per_report,
            metrics,
            columns,
            trials=settings.trials,
            seed=settings.seed,
            level=settings.level,
        ),
        notes=notes,
    )


def match(examples: Sequence[Example], predictions: Sequence[Prediction]) -> list[Prediction]:
    """The predictions in the order of the examples.

    Raises:
        InputError: ids on one side only.
    """
    by_id = {prediction.question_id: prediction for prediction in predictions}
    known = {example.question_id for example in examples}
    missing = [example.question_id for example in examples if example.question_id not in by_id]
    extra = [key for key in by_id if key not in known]
    faults = [f"no prediction for id {key!r}" for key in missing]
    faults += [f"no reference for predicted id {key!r}" for key in extra]
    if faults:
        raise InputError("predictions and references do not match: " + listing(faults))
    return [by_id[example.question_id] for example in examples]


def _identities(
    examples: Sequence[Example], predictions: Sequence[Prediction], profile: str
) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(
        {
            "question_id": [one.question_id for one in examples],
            "subject_id": [one.subject_id for one in examples],
            "study_id": [one.study_id for one in examples],
            "split": [one.split for one in examples],
            "view": [one.view for one in examples],
            "has_prior": [one.has_prior for one in examples],
            "status": [one.status for one in predictions],
            "words": [len(one.text.split()) for one in predictions],
            "reference_words": [len(one.reference.split()) for one in examples],
            "profile": profile,
        }
    )


def _subgroup_columns(
    frame: pd.DataFrame, examples: Sequence[Example], asked: Sequence[str] | None
) -> list[str]:
    """The columns that are to split the cohort, put into the frame where they are not.

    Raises:
        InputError: no example has a field that was asked for.
    """
    from libra_bench.runs.subgroups import COLUMNS

    for column in asked or COLUMNS:
        fields = [(example.model_extra or {}).get(column) for example in examples]
        if column not in frame.columns and any(value is not None for value in fields):
            frame[column] = fields
    missing = [column for column in asked or () if column not in frame.columns]
    if missing:
        raise InputError(f"--subgroups: no example has a field {' or '.join(missing)}")
    return [column for column in asked or COLUMNS if column in frame.columns]


def _with_labels(frame: pd.DataFrame, labels: str) -> pd.DataFrame:
    """The frame with the labels in its signatures, so that `compare` sees them."""
    from libra_bench.metrics.scoring import SEPARATOR, SIGNATURE

    signed = [name for name in frame.columns if labels and name.endswith(SEPARATOR + SIGNATURE)]
    return frame.assign(**{name: frame[name] + labels for name in signed})


def _labelled(examples: Sequence[Example], profile: str) -> str:
    """The part of each signature that says how many texts carry the leaderboard's labels."""
    labelled = sum(forms.used(example, profile) for example in examples)
    return f"|labels:{'all' if labelled == len(examples) else labelled}" if labelled else ""


def _made_by(predictions: Sequence[Prediction]) -> str:
    """What made the texts, as the end of each signature; `unknown` where nobody said."""
    made = set()
    for one in predictions:
        metadata = (one.model_extra or {}).get("metadata") or {}
        model = f"{one.model_id or 'unknown'}@{metadata.get('weights', 'unknown')}"
        made.add(f"|model:{model}|decoding:{metadata.get('decoding', 'unknown')}")
    return made.pop() if len(made) == 1 else "|model:several|decoding:several"
