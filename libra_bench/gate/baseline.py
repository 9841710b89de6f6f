"""The baseline: what a run is held against. A file of numbers that may be published.

It holds sufficient statistics by report and what is needed to know that another run answers the
same question in the same way. It holds no report, no image and no path. A patient is a number in
order of appearance: a hash would not hide ids of eight digits, which anyone can try out.
"""

from __future__ import annotations

import gzip
import json
import math
import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from libra_bench.core.errors import InputError
from libra_bench.core.files import explain, listing, parse_json, read_bytes, write_atomic
from libra_bench.stats.clusters import Clusters, Floats, by_patient

KIND: Literal["libra-bench baseline"] = "libra-bench baseline"
FORMAT = 1


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Score(_Part):
    """One score of the run, as its summary told it."""

    title: str
    value: FiniteFloat | None
    higher_is_better: bool
    signature: str


class Statistics(_Part):
    """One metric's statistics by report."""

    scores: dict[str, Score]
    columns: dict[str, list[float | None]]
    """By name of the statistic, a number a report; null where the report was not scored."""

    def array(self, names: tuple[str, ...]) -> Floats:
        """[n, k] in the order of `names`, NaN for null."""
        columns = [[math.nan if x is None else x for x in self.columns[name]] for name in names]
        return np.asarray(columns, dtype=np.float64).T


class Quality(_Part):
    """What can be wrong with a text whatever it says: a value a report."""

    failed: list[bool]
    empty: list[bool]
    """Delivered without a word."""
    words: list[int]
    repeated: list[bool]
    """Whether another report of the run has the same text."""
    truncated: list[bool] | None
    """Whether the tokens ran out; None where the answers do not tell their number."""


class Made(_Part):
    """Who wrote the texts, and how."""

    model: str
    weights: str
    protocol: str
    decoding: str


class Update(_Part):
    """One replacement of the file by a later run."""

    date: str
    verdict: Literal["same", "better", "worse", "undecided", "not compared"]
    accepted: str | None
    """The reason that was given, as is needed for a run that was worse or not comparable."""
    worse: list[str] = []
    replaced: str
    """Hash of the predictions before."""


class Baseline(_Part):
    """A run's statistics by report, with everything that another run must share with it."""

    kind: Literal["libra-bench baseline"] = KIND
    format: int = FORMAT
    program: str
    created: str
    cohort: str
    """Name of the data."""
    profile: str
    made: Made
    cohort_hash: str
    predictions_hash: str
    ids: list[str] = Field(min_length=1)
    patients: list[int | None]
    reference_marks: list[str] | None = None
    """Eight bits of a hash of each report's id and reference: they name nearly every reference
    that was changed, and cannot tell whether a text that someone guesses is the one."""
    quality: Quality
    metrics: dict[str, Statistics]
    not_scored: dict[str, str] = {}
    """Metrics that were asked for and have no score, with the reason."""
    history: list[Update] = []

    @model_validator(mode="after")
    def _fits(self) -> Baseline:
        faults = []
        count = len(self.ids)
        if len(set(self.ids)) < count:
            faults.append("ids that occur twice")
        columns: dict[str, list[Any] | None] = {
            "patients": self.patients,
            "reference_marks": self.reference_marks,
            **{f"quality.{name}": getattr(self.quality, name) for name in Quality.model_fields},
        }
        for name, metric in self.metrics.items():
            columns |= {f"metrics.{name}.{key}": one for key, one in metric.columns.items()}
            faults += _half_scored(name, metric, self.ids)
        faults += [
            f"{name}: {len(column)} values for {count} reports"
            for name, column in columns.items()
            if column is not None and len(column) != count
        ]
        if faults:
            raise ValueError("; ".join(faults[:5]))
        return self

    @property
    def clusters(self) -> Clusters:
        """The patients, as what is resampled."""
        return by_patient([None if one is None else str(one) for one in self.patients], self.ids)

    @property
    def scores(self) -> dict[str, tuple[str, Score]]:
        """(metric, score) by the score's name."""
        return {
            name: (metric, score)
            for metric, part in self.metrics.items()
            for name, score in part.scores.items()
        }

    @property
    def valueless(self) -> list[str]:
        """Scores that no report has: they cannot gate."""
        return [name for name, (_, score) in self.scores.items() if score.value is None]


def _half_scored(name: str, metric: Statistics, ids: list[str]) -> list[str]:
    """Reports of which some statistics are numbers and some are not."""
    faults = []
    for identifier, row in zip(ids, zip(*metric.columns.values(), strict=False), strict=False):
        finite = [value is not None and math.isfinite(value) for value in row]
        if not all(finite) and any(value is not None for value in row):
            faults.append(f"metrics.{name}: id {identifier!r} has a statistic that is no number")
    return faults


def read(path: Path) -> Baseline:
    """The baseline in a file, gzipped or not.

    Raises:
        InputError: no such file, no baseline, a damaged one, or one of a newer program.
    """
    return parse(path, contents(path))


def parse(path: Path, value: Any) -> Baseline:
    """The baseline in what was read from `path`.

    Raises:
        InputError: as of `read`.
    """
    if not is_baseline(value):
        raise InputError(
            f"{path}: not a baseline; `libra-bench baseline save --run DIR --output FILE` makes one"
        )
    found = value.get("format")
    if isinstance(found, int) and found > FORMAT:
        raise InputError(
            f"{path}: a baseline of format {found}, written by libra_bench "
            f"{value.get('program', '?')}; this program reads format {FORMAT}: install a newer one"
        )
    try:
        baseline = Baseline.model_validate(value)
    except ValidationError as error:
        raise InputError(f"{path}: a damaged baseline: {listing(explain(error), 5)}") from None
    if baseline.format != FORMAT:
        raise InputError(f"{path}: a baseline of format {found}; {FORMAT} was expected")
    return baseline


def is_baseline(value: Any) -> bool:
    """Whether a JSON value says that it is a baseline."""
    return isinstance(value, dict) and value.get("kind") == KIND


def contents(path: Path) -> Any:
    """The JSON in a file, unpacked where it is gzipped.

    Raises:
        InputError: it cannot be read.
    """
    data = read_bytes(path)
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"{path}: a damaged gzip file ({error})") from None
    return parse_json(path, data)


def write(baseline: Baseline, path: Path) -> None:
    """Put a baseline into a file, in one step; gzipped where the name ends with `.gz`.

    Equal baselines give equal files, and a column is a line, so that version control shows what
    changed.
    """
    text = _laid_out(baseline.model_dump(mode="json"))
    data = text.encode("utf-8")
    write_atomic(path, gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


def _laid_out(value: Any, indent: int = 0) -> str:
    """JSON with a key a line, and every list of plain values in one."""
    blank = " " * indent
    if isinstance(value, dict) and value:
        lines = [
            f"{blank} {json.dumps(key)}: {_laid_out(item, indent + 1)}"
            for key, item in value.items()
        ]
        inner = ",\n".join(lines)
        return f"{{\n{inner}\n{blank}}}" + ("" if indent else "\n")
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
