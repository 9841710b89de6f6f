"""What was measured, as a file: raw timings, and what they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from libra_bench.core.errors import InputError
from libra_bench.core.files import explain, listing, read_json, write_json
from libra_bench.perf.shape import ModelShape

SPREAD = 1.5
"""Slowest over fastest repetition, at most."""
LOAD = 1.5
"""Processes at work for each processor, at most; the measurement's own threads among them."""


class Record(BaseModel):
    """One measurement.

    Rates are of what is delivered to the user: reports, and the tokens of the chosen beam. What
    could not be told is None, and `gaps` says why.
    """

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    kind: Literal["generation", "training"]
    model: str
    random_weights: bool
    shape: dict[str, Any]
    device: str
    gpu: str | None
    """Id in the table of GPUs; None for a device that is not in it."""
    facts: dict[str, Any]
    """Driver, clocks as found, threads, date, how long was measured."""
    versions: dict[str, str]
    commit: dict[str, Any] | None
    dtype: str
    attention: str
    settings: dict[str, Any]
    """Engine, protocol, decoding, lengths; or stage, batch, lengths."""
    seconds: list[float] = Field(min_length=1)
    """Of each repetition."""
    calibration: list[float] = []
    """Seconds of the calibration loop beside each repetition; none in records from before it."""
    dropped: int
    parts: dict[str, list[float]]
    """Seconds of every call within the last repetition, by part."""
    part_seconds: list[dict[str, float]] = []
    """Of each repetition: seconds by part, all calls together."""
    latencies: list[list[float]] = []
    """Of each repetition: seconds until each report was there, from the start of the round."""
    results: dict[str, float | None]
    gaps: dict[str, str]

    @property
    def spread(self) -> float:
        """The slowest repetition over the fastest; far above 1, something else was at work."""
        return max(self.seconds) / min(self.seconds)

    @property
    def disturbed(self) -> bool:
        """Whether other work makes the times useless: uneven ones, or more of it than processors.

        Work that disturbs all repetitions alike leaves them even, and shows in the load only.
        """
        load = float(self.facts.get("load_average") or 0)
        return self.spread > SPREAD or load > LOAD * float(self.facts.get("cpus") or 1)

    @property
    def model_shape(self) -> ModelShape:
        """The shape as numbers."""
        return ModelShape(**self.shape)


def write(record: Record, path: Path) -> None:
    """Put a record into a file, in one step."""
    write_json(path, record.model_dump())


def read_folder(folder: Path) -> dict[str, Record]:
    """All records of a folder by file name; other JSON files are refused.

    Raises:
        InputError: no such folder, or files that are no records; all are listed.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of records")
    records, faults = {}, []
    for path in sorted(folder.glob("*.json")):
        try:
            records[path.name] = read(path)
        except InputError as error:
            faults.append(str(error))
    if faults:
        raise InputError("not records of `perf measure`: " + listing(faults))
    return records


def read(path: Path) -> Record:
    """The record in a file.

    Raises:
        InputError: no such file, or no record; all faults are listed.
    """
    try:
        return Record.model_validate(read_json(path))
    except ValidationError as error:
        raise InputError(f"{path}: {'; '.join(explain(error))}") from None
