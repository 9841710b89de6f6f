"""Reading a scored run for its pages, with every fault of the folder named at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from libra_bench.core.columnar import read_parquet
from libra_bench.core.errors import InputError
from libra_bench.core.files import explain, listing
from libra_bench.core.records import Example, Prediction
from libra_bench.runs.folder import RunFolder
from libra_bench.runs.freshness import require_finished, require_fresh
from libra_bench.runs.scoring import resampling

if TYPE_CHECKING:
    import pandas as pd


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())


class Interval(_Part):
    """A figure with its interval; None where nothing was scored."""

    value: float | None
    low: float | None = None
    high: float | None = None


class Figure(Interval):
    """One figure over all reports of a run."""

    metric: str
    title: str
    level: float = 0.95
    n: int
    """Reports behind the figure."""
    unscored: int
    clusters: int | None = None
    """What was resampled for the interval: so many of `unit`."""
    unit: str = ""
    interval: str = ""
    """How the interval was made; empty in runs from before this was kept."""
    higher_is_better: bool = True
    signature: str


class NotScored(_Part):
    """A metric that could not be computed, why, and the command that mends it."""

    reason: str
    mend: str = ""
    titles: list[str] = Field(default_factory=list)
    fetch: str | None = None
    also: str | None = None


class Resampled(_Part):
    """What the bootstrap drew."""

    unit: str
    count: int
    unknown_patients: int = 0
    interval: str
    trials: int

    def __str__(self) -> str:
        return resampling(self.model_dump())


class Subgroup(_Part):
    """Figures for the reports with one value in one column."""

    column: str
    value: str
    n: int
    metrics: dict[str, Interval]


class Protocol(_Part):
    """How text was decoded."""

    name: str
    signature: str


class RunFacts(_Part):
    """What was run."""

    id: str
    model: str
    model_id: str
    trained: bool
    data: str
    cohort: str
    split: str | None = None
    section: str | None = None
    prior_policy: str | None = None
    protocol: Protocol
    profile: str
    engine: str | None = None
    device: str | None = None
    created: str
    status: str


class Summary(_Part):
    """`summary.json` of format 1."""

    format: int = Field(ge=1, le=1)
    run: RunFacts
    n: int
    generated: int
    failed: int
    with_prior: int
    seconds: float | None = None
    reports_per_second: float | None = None
    metrics: dict[str, Figure]
    resampled: Resampled | None = None
    """None in runs from before this was kept."""
    hashes: dict[str, str] | None = None
    not_scored: dict[str, NotScored] = Field(default_factory=dict)
    subgroups: list[Subgroup] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)


@dataclass(frozen=True)
class Run:
    """Everything that a page about a run may show."""

    path: Path
    manifest: dict[str, Any]
    summary: Summary
    examples: dict[str, Example]
    """By question_id, in the order of the run."""
    predictions: dict[str, Prediction]
    scores: pd.DataFrame
    """A row a report, indexed by question_id."""


def read_summary(folder: RunFolder) -> Summary:
    """The summary of a scored run.

    Raises:
        InputError: the run has not been scored, or the file is not of format 1; each field at
            fault is named.
    """
    try:
        return Summary.model_validate(folder.summary())
    except ValidationError as error:
        raise InputError(f"{folder.summary_file}: {listing(explain(error))}") from None


def read_run(path: Path) -> Run:
    """A scored run.

    Raises:
        InputError: no run folder, or files that are missing, half-written or do not belong
            together; all faults are reported together.
    """
    folder = RunFolder.open(path)
    manifest = folder.manifest()
    parts: dict[str, Any] = {}
    faults: list[str] = []
    readers: dict[str, Callable[[], Any]] = {
        "summary": lambda: read_summary(folder),
        "examples": folder.examples,
        "predictions": folder.predictions,
        "scores": lambda: _read_scores(folder),
    }
    for name, read in readers.items():
        try:
            parts[name] = read()
        except InputError as error:
            faults.append(str(error))
    if not faults:
        faults = _mismatches(folder, **parts)
    if not faults:
        require_finished(folder)
        require_fresh(
            folder,
            parts["summary"].model_dump(),
            parts["scores"],
            parts["examples"],
            parts["predictions"],
        )
    if faults:
        status = manifest.get("status")
        hint = "" if status == "finished" else f" (its status is {status!r}; --resume finishes it)"
        raise InputError(f"{path}: cannot be reported on{hint}: {listing(faults)}")
    return Run(
        path=path,
        manifest=manifest,
        summary=parts["summary"],
        examples={one.question_id: one for one in parts["examples"]},
        predictions={one.question_id: one for one in parts["predictions"]},
        scores=parts["scores"].set_index("question_id"),
    )


def _read_scores(folder: RunFolder) -> pd.DataFrame:
    path = folder.scores_file
    folder.require_unchanged(path)
    frame: pd.DataFrame = read_parquet(path).to_pandas(use_threads=False)
    if "question_id" not in frame:
        raise InputError(f"{path}: has no column 'question_id'")
    return frame.assign(question_id=frame["question_id"].astype(str))


def _mismatches(
    folder: RunFolder,
    summary: Summary,
    examples: list[Example],
    predictions: list[Prediction],
    scores: pd.DataFrame,
) -> list[str]:
    """Files of one folder that tell of different runs."""
    from pandas.api.types import is_numeric_dtype

    known = {one.question_id for one in examples}
    faults = []
    for file, ids in (
        (folder.predictions_file, [one.question_id for one in predictions]),
        (folder.scores_file, list(scores["question_id"])),
    ):
        missing, extra = sorted(known - set(ids)), sorted(set(ids) - known)
        faults += [f"{file}: no row for id {key!r}" for key in missing]
        faults += [f"{file}: id {key!r} is not among the examples" for key in extra]
        if len(ids) != len(set(ids)):
            faults.append(f"{file}: an id stands on several rows")
    faults += [
        f"{folder.scores_file}: column {name!r} holds no numbers"
        for name in summary.metrics
        if name in scores and not is_numeric_dtype(scores[name])
    ]
    if summary.n != len(examples):
        faults.append(f"{folder.summary_file}: n is {summary.n}, examples are {len(examples)}")
    return faults
