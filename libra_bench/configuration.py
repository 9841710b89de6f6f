"""`libra-bench.toml`, or `[tool.libra-bench]` of a `pyproject.toml`: what `check` does by itself.

Everything is read and checked before anything is done; every fault is named with file and line.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from libra_bench.configuration_values import run_values
from libra_bench.core.errors import InputError
from libra_bench.core.files import listing, read_bytes
from libra_bench.core.names import unknown_name
from libra_bench.gate.settings import DEFAULT_TRIALS, THRESHOLDS, GateSettings
from libra_bench.generation.factory import SystemSettings
from libra_bench.metrics import registry
from libra_bench.metrics.profiles import PROFILES
from libra_bench.model import zoo
from libra_bench.pipeline import Settings
from libra_bench.runs.scoring import ScoringSettings

NAME, PROJECT, TABLE = "libra-bench.toml", "pyproject.toml", ("tool", "libra-bench")
Key = tuple[str | int, ...]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, protected_namespaces=())


class RunTable(_Table):
    """`[run]`: what is evaluated; names are those of `libra-bench run`'s options."""

    model: str = "libra-tiny"
    data: str = "synthetic"
    split: str = "test"
    section: str = "findings"
    limit: Annotated[int, Field(ge=1)] | None = None
    output: str | None = None
    metrics: list[str] | None = None
    profile: str = "libra"
    metric_option: dict[str, dict[str, str]] = {}
    protocol: str | None = None
    decoding: dict[str, Any] = {}
    """Single settings that differ from the protocol, by their names in `Decoding`."""
    prior_policy: str | None = None
    corpus: str | None = None
    image_root: str | None = None
    model_base: str | None = None
    vision_tower: str | None = None
    conv_mode: str | None = None
    engine: str = "fast"
    batch_size: str | int = "auto"
    device: str = "auto"
    dtype: str = "auto"
    subgroups: list[str] | None = None
    trials: Annotated[int, Field(ge=1)] = 1000
    seed: Annotated[int, Field(ge=0)] = 0


class GateTable(_Table):
    """`[gate]`: how the run is judged; names are those of `libra-bench check`'s options."""

    baseline: str | None = None
    """A name of `[baselines]`, or a file."""
    metrics: list[str] | None = None
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05
    strict: bool = False
    by: list[str] = []
    trials: Annotated[int, Field(ge=1)] = DEFAULT_TRIALS
    seed: Annotated[int, Field(ge=0)] = 0
    margins: dict[str, NotNegative] = {}
    thresholds: dict[str, NotNegative] = {}
    junit: str | None = None
    markdown: str | None = None
    text: bool = True
    """Whether the table shows the texts of the studies that moved most."""
    link: str | None = None


class PerfTable(_Table):
    """`[perf]`: a measurement, and what it is held against."""

    record: str
    baseline: str


class _File(_Table):
    run: RunTable | None = None
    gate: GateTable = GateTable()
    baselines: dict[str, str] = {}
    perf: PerfTable | None = None


@dataclass(frozen=True)
class Configuration:
    """What a file says. Its paths are relative to its folder."""

    path: Path
    tables: _File

    def place(self, name: str) -> Path:
        """A path of the file."""
        return self.path.parent / Path(name).expanduser()

    @property
    def baseline(self) -> Path | None:
        """The baseline that gates: a name of `[baselines]`, a file, or the only one there is."""
        named, known = self.tables.gate.baseline, self.tables.baselines
        if named is not None:
            return self.place(known.get(named, named))
        return self.place(next(iter(known.values()))) if len(known) == 1 else None

    def gate(self) -> GateSettings:
        """How a run is judged."""
        table = self.tables.gate
        shared = {one.name for one in fields(GateSettings)} & set(GateTable.model_fields)
        return GateSettings(**{name: getattr(table, name) for name in shared})

    def run(self) -> Settings | None:
        """What is evaluated; None where the file does not say."""
        table = self.tables.run
        if table is None:
            return None
        return Settings(
            system=SystemSettings(
                model=self._model(table.model),
                protocol=table.protocol,
                overrides=dict(table.decoding),
                engine=table.engine,
                batch_size=str(table.batch_size),
                device=table.device,
                dtype=table.dtype,
                conv_mode=table.conv_mode,
                corpus=None if table.corpus is None else self._spec(table.corpus),
                image_root=self._folder(table.image_root),
                model_base=self._folder(table.model_base),
                vision_tower=self._folder(table.vision_tower),
            ),
            scoring=ScoringSettings(
                metrics=table.metrics,
                profile=table.profile,
                options=table.metric_option,
                subgroups=table.subgroups,
                trials=table.trials,
                seed=table.seed,
            ),
            data=self._spec(table.data),
            split=table.split,
            section=table.section,
            limit=table.limit,
            prior_policy=table.prior_policy,
        )

    def _folder(self, name: str | None) -> Path | None:
        return None if name is None else self.place(name)

    def _model(self, name: str) -> str:
        """A folder beside the file, or a name; a name stays one whatever lies beside it."""
        beside = name not in zoo.ZOO and self.place(name).is_dir()
        return str(self.place(name)) if beside else name

    def _spec(self, spec: str) -> str:
        """`KIND:PATH` with the path beside the file."""
        kind, colon, path = spec.partition(":")
        return f"{kind}:{self.place(path)}" if path else f"{kind}{colon}"


def find(folder: Path) -> Path | None:
    """The configuration of a folder: `libra-bench.toml`, or a `pyproject.toml` that has a table.

    Raises:
        InputError: a `pyproject.toml` that cannot be read.
    """
    if (folder / NAME).is_file():
        return folder / NAME
    project = folder / PROJECT
    if project.is_file() and _inside(_parsed(project)[1]) is not None:
        return project
    return None


def read(path: Path) -> Configuration:
    """The configuration in a file.

    Raises:
        InputError: it cannot be read, or anything in it cannot be used; all faults, with lines.
    """
    text, value = _parsed(path)
    inside: tuple[str, ...] = ()
    if path.name == PROJECT:
        inside, value = TABLE, _inside(value)
        if value is None:
            raise InputError(f"{path}: it has no table [tool.libra-bench]")
    if not isinstance(value, dict):
        line = _lines(text).get(TABLE, 1)
        raise InputError(f"{path}: line {line}: {'.'.join(TABLE)}: a table was expected")
    faults: list[tuple[Key, str]] = []
    tables = None
    try:
        tables = _File.model_validate(value)
    except ValidationError as error:
        faults = [(one["loc"], one["msg"]) for one in error.errors(include_url=False)]
    known = {key for key, _ in faults}
    faults += [one for one in _meanings(value, path) if one[0] not in known]
    if faults or tables is None:
        raise InputError(f"{path}: " + listing(_located(faults, _lines(text), inside)))
    return Configuration(path, tables)


def _parsed(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = read_bytes(path).decode("utf-8-sig")
        return text, tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start})") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not TOML ({error})") from None


def _inside(value: Any) -> Any:
    for name in TABLE:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _meanings(value: Mapping[str, Any], path: Path) -> Iterator[tuple[Key, str]]:
    """Faults that a type does not show: names that are unknown, files that are not there.

    The value need not have the right types: what has not is told elsewhere.
    """
    run, gate = (_dict(value, name) for name in ("run", "gate"))
    profile = run.get("profile", "libra")
    if isinstance(profile, str) and profile not in PROFILES:
        yield ("run", "profile"), str(unknown_name("profile", profile, PROFILES))
    else:
        yield from _metric_names(run, gate, profile if isinstance(profile, str) else "libra")
    for key, message in run_values(run, path.parent):
        yield ("run", *key), message
    for name in _dict(gate, "thresholds"):
        if name not in THRESHOLDS:
            yield ("gate", "thresholds", name), str(unknown_name("threshold", name, THRESHOLDS))
    baselines = _dict(value, "baselines")
    named = gate.get("baseline")
    if named is None and len(baselines) > 1:
        yield ("gate",), f"`baseline` is to name one of {', '.join(map(str, baselines))}"
    if isinstance(named, str) and named not in baselines and not (path.parent / named).exists():
        error = unknown_name("baseline", named, baselines)
        yield ("gate", "baseline"), f"{error} (and no such file)"


def _metric_names(
    run: Mapping[str, Any], gate: Mapping[str, Any], profile: str
) -> Iterator[tuple[Key, str]]:
    asked = run.get("metrics") if isinstance(run.get("metrics"), list) else []
    for place, name in enumerate(asked or []):
        try:
            registry.expand([str(name)], profile)
        except InputError as error:
            yield ("run", "metrics", place), str(error)
    rows = registry.listing(profile)
    scores = {one for row in rows for one in (row["name"], *row["outputs"])}
    # Without [run] the run may be of any profile: its own scores decide.
    if not run:
        return
    for name in _dict(gate, "margins"):
        if name not in scores:
            yield ("gate", "margins", name), str(unknown_name("metric of a margin", name, scores))
    gated = gate.get("metrics") if isinstance(gate.get("metrics"), list) else []
    for place, name in enumerate(gated or []):
        if name not in scores:
            yield ("gate", "metrics", place), str(unknown_name("metric", str(name), scores))


def _dict(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def _located(
    faults: list[tuple[Key, str]], lines: Mapping[Key, int], inside: tuple[str, ...]
) -> list[str]:
    """Faults as text, in the order of their lines."""
    found = []
    for key, message in faults:
        # pydantic ends a key with the alternative of a type that failed.
        place = (*inside, *key)
        while place and place not in lines:
            place = place[:-1]
        shown = ".".join(str(part) for part in key)
        found.append((lines.get(place, 1), f"{shown}: {message}"))
    unique = dict.fromkeys(sorted(found))
    return [f"line {line}: {message}" for line, message in unique]


def _lines(text: str) -> dict[Key, int]:
    """The line, from 1, on which each table and key of a TOML text begins.

    A statement is as many lines as it takes until TOML can be read; `tomllib` keeps no lines.
    """
    lines, found = text.splitlines(), dict[Key, int]()
    table: Key = ()
    start = 0
    while start < len(lines):
        if not lines[start].strip() or lines[start].lstrip().startswith("#"):
            start += 1
            continue
        for end in range(start + 1, len(lines) + 1):
            try:
                value = tomllib.loads("\n".join(lines[start:end]))
            except tomllib.TOMLDecodeError:
                continue
            break
        else:
            return found
        header = lines[start].lstrip().startswith("[")
        keys = list(_keys(value))
        if header:
            table = max(keys, key=len, default=())
        for key in keys:
            found.setdefault(key if header else (*table, *key), start + 1)
        start = end
    return found


def _keys(value: Any, above: Key = ()) -> Iterator[Key]:
    """Every key of nested tables, the outer ones first."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield (*above, name)
            yield from _keys(item, (*above, name))
