"""Scoring a run: predictions and references in, `scores.parquet` and `summary.json` out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from numbers import Integral
from typing import TYPE_CHECKING, Any

from libra_bench.core.errors import InputError
from libra_bench.core.files import listing, write_atomic, write_json
from libra_bench.core.identity import set_hash, text_hash
from libra_bench.core.records import Example, Prediction
from libra_bench.metrics.signatures import UNKNOWN, signature_from
from libra_bench.runs import forms
from libra_bench.runs.folder import RunFolder
from libra_bench.runs.unscored import refuse_nothing
from libra_bench.stats.bootstrap import method
from libra_bench.stats.clusters import Clusters, by_patient

if TYPE_CHECKING:
    import pandas as pd

    from libra_bench.metrics.base import Metric
    from libra_bench.metrics.scoring import Scores


COMPUTED = (
    "subject_id",
    "study_id",
    "split",
    "view",
    "has_prior",
    "status",
    "words",
    "reference_words",
)
"""Columns of a frame of scores that every cohort has and that may split it."""

OWN = ("question_id", "reference_hash", "prediction_hash", "profile")
"""Columns of a frame of scores that no field of an example can stand for."""


@dataclass(frozen=True)
class ScoringSettings:
    """Which metrics, and how sure to be of them."""

    metrics: Sequence[str] | None = None
    """Names; None for what the profile scores unasked."""
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

        names = list(self.metrics) if self.metrics else registry.unasked(self.profile, self.options)
        return registry.create_all(names, self.profile, self.options)

    def check(self) -> list[str]:
        """Refuse what cannot be used before any work starts.

        Returns:
            Metrics that will not be scored, each with all that it lacks.

        Raises:
            InputError: unknown names or options, numbers out of range, or a metric that lacks
                something though the user said by an option where its files are.
        """
        for name, number in (("trials", self.trials), ("seed", self.seed)):
            if not isinstance(number, Integral) or isinstance(number, bool):
                raise InputError(f"{name} {number!r}: a whole number was expected")
        faults = [
            message
            for wrong, message in (
                (self.trials < 1, f"trials {self.trials}: at least 1 was expected"),
                (self.seed < 0, f"seed {self.seed}: must not be negative"),
                (not 0 < self.level < 1, f"level {self.level:g}: not in (0, 1)"),
            )
            if wrong
        ]
        if faults:
            raise InputError("; ".join(faults))
        notes = []
        for metric in self.create():
            gap = metric.gap()
            if gap is None:
                continue
            if self.options.get(metric.name):
                faults.append(f"{metric.name}, for which --metric-option names files: {gap.what}")
            notes.append(f"{metric.name} will not be scored: {gap.what}. To mend it: {gap.mend}")
        if faults:
            raise InputError("\n".join(faults))
        return notes


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
    clusters: Clusters
    trials: int
    subgroups: list[dict[str, Any]]
    notes: list[str]

    def summary(self) -> dict[str, Any]:
        """The figures as `summary.json` and `score --json` hold them."""
        figures = {name: asdict(figure) for name, figure in self.scores.figures.items()}
        for figure in figures.values():
            figure["signature"] += self.suffix
        return {
            "metrics": figures,
            "resampled": {
                "unit": self.clusters.unit,
                "count": self.clusters.count,
                "unknown_patients": self.clusters.unknown,
                "interval": method(self.clusters.count),
                "trials": self.trials,
            },
            "hashes": hashes_of(self.frame),
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

    check_subgroups(examples, settings)
    matched = match(examples, predictions)
    pairs = [
        forms.pair(example, one, settings.profile)
        for example, one in zip(examples, matched, strict=True)
    ]
    texts, references = [one[0] for one in pairs], [one[1] for one in pairs]
    refuse_nothing(texts, references)
    clusters = patients_of(examples)
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
    columns = add_subgroup_columns(identities, examples, settings.subgroups)
    labels = _labelled(examples, settings.profile)
    frame = identities.join(_with_labels(to_frame(scores, metrics), labels))
    groups = by_subgroup(
        frame,
        clusters,
        scores.per_report,
        metrics,
        columns,
        trials=settings.trials,
        seed=settings.seed,
        level=settings.level,
    )
    notes = _unknown_patients(clusters)
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
        clusters=clusters,
        trials=settings.trials,
        subgroups=groups.rows,
        notes=notes + groups.notes,
    )


def patients_of(examples: Sequence[Example]) -> Clusters:
    """The patients of examples, as the clusters that are resampled."""
    return by_patient(
        [example.subject_id for example in examples], [one.question_id for one in examples]
    )


def resampling(drawn: Mapping[str, Any]) -> str:
    """What a summary's `resampled` says, in words."""
    if drawn["count"] < 2:
        return f"none, because all reports are of one {drawn['unit'].removesuffix('s')}"
    trials = f"{drawn['trials']:,} trials"
    return f"{drawn['interval']} over {drawn['count']:,} {drawn['unit']}, {trials}"


def hashes_of(frame: pd.DataFrame) -> dict[str, str]:
    """What a frame of scores belongs to: its `cohort` (ids, references) and its `predictions`."""
    return {
        name: set_hash(zip(frame["question_id"].astype(str), frame[column], strict=True))
        for name, column in (("cohort", "reference_hash"), ("predictions", "prediction_hash"))
    }


def prediction_hash(prediction: Prediction) -> str:
    """What was scored of a prediction: whether it was delivered, and its text."""
    return text_hash(prediction.status, prediction.text)


def _unknown_patients(clusters: Clusters) -> list[str]:
    """A note where intervals may be narrower than they should, or cannot be."""
    if clusters.count == 1 and not clusters.unknown:
        return ["all reports are of one patient: no interval can be given"]
    if not clusters.unknown:
        return []
    return [
        f"the patient of {clusters.unknown} of {len(clusters.labels)} reports is unknown (no "
        "subject_id): each is resampled alone, and the intervals are too narrow where patients "
        "have several reports"
    ]


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
            "reference_hash": [text_hash(one.reference) for one in examples],
            "prediction_hash": [prediction_hash(one) for one in predictions],
            "words": [len(one.text.split()) for one in predictions],
            "reference_words": [len(one.reference.split()) for one in examples],
            "profile": profile,
        }
    )


def add_subgroup_columns(
    frame: pd.DataFrame, examples: Sequence[Example], asked: Sequence[str] | None
) -> list[str]:
    """The columns that are to split the cohort, put into the frame where they are not."""
    from libra_bench.runs.subgroups import COLUMNS, column

    for name in asked or COLUMNS:
        fields = [(example.model_extra or {}).get(name) for example in examples]
        if name not in frame.columns and any(value is not None for value in fields):
            frame[name] = column(fields)
    return [name for name in asked or COLUMNS if name in frame.columns]


def check_subgroups(examples: Sequence[Example], settings: ScoringSettings) -> None:
    """Refuse columns that cannot split the cohort, before any report is written or scored.

    Raises:
        InputError: columns that no example has, with those that there are; fields that are called
            as a column of the scores.
    """
    asked = settings.subgroups
    outputs = {one.name for metric in settings.create() for one in metric.outputs} if asked else ()
    taken = [one for one in asked or () if one in OWN or one in outputs or "::" in one]
    if taken:
        raise InputError(f"--subgroups: {' and '.join(taken)}: a column of the scores is called so")
    own = {field for example in examples for field in example.model_extra or {}}
    known = {*COMPUTED, *own}
    missing = [name for name in asked or () if name not in known]
    if missing:
        raise InputError(
            f"--subgroups: no example has a field {' or '.join(missing)}; there are "
            + ", ".join(sorted(known))
        )


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
        made.add(
            "|"
            + signature_from(
                {
                    "model": f"{one.model_id or UNKNOWN}@{metadata.get('weights', UNKNOWN)}",
                    "decoding": metadata.get("decoding", UNKNOWN),
                }
            )
        )
    return made.pop() if len(made) == 1 else "|model:several|decoding:several"
