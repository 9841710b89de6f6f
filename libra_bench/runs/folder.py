"""The run folder: one place that knows its files and its status."""

from __future__ import annotations

import csv
import io
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from libra_bench.core.errors import InputError
from libra_bench.core.files import (
    dump_record,
    listing,
    read_json,
    read_records,
    sha256_of,
    sha256_of_text,
    write_atomic,
    write_json,
)
from libra_bench.core.outputs import (
    check_folder,
    clear_leftovers,
    holds_something,
    private_folder,
)
from libra_bench.core.records import Example, Prediction
from libra_bench.core.special import kind_of
from libra_bench.runs import environment
from libra_bench.runs.shape import faults_of_summary

FORMAT = 1
Status = Literal["started", "finished", "failed", "cancelled"]


class RunFolder:
    """A folder with `manifest.json`, `examples.jsonl`, `predictions.jsonl`, `scores.parquet`,
    `summary.json`, `report.html` and `report.md`; and `dropped.csv` where studies were left out.

    Make one with `create`, `reopen` or `open`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest_file = path / "manifest.json"
        self.examples_file = path / "examples.jsonl"
        self.dropped_file = path / "dropped.csv"
        self.predictions_file = path / "predictions.jsonl"
        self.scores_file = path / "scores.parquet"
        self.summary_file = path / "summary.json"

    @classmethod
    def create(
        cls,
        path: Path,
        *,
        arguments: dict[str, Any],
        resolved: dict[str, Any],
        examples: list[Example] | None = None,
    ) -> RunFolder:
        """Begin a run in a new or empty folder.

        Args:
            arguments: as the user gave them.
            resolved: what they came to.
            examples: those of the run, which `write_examples` will store.

        Raises:
            InputError: the folder holds something already.
        """
        cls.check_output(path)
        folder = cls(path)
        private_folder(path)
        clear_leftovers(path)
        now = _now()
        start = _start(arguments)
        folder.write_manifest(
            {
                "format": FORMAT,
                "id": f"{now[:10]}-{secrets.token_hex(4)}",
                "status": "started",
                "created": now,
                "updated": now,
                "error": None,
                **start,
                "resolved": resolved,
                "starts": [{"time": now, **start}],
                "hashes": {},
                "seeds": {},
            }
        )
        return folder

    @classmethod
    def check_output(cls, path: Path, *, resume: bool = False) -> None:
        """Refuse a place where no run can begin, or none can go on, before any work.

        Raises:
            InputError: the folder holds something already; with `resume`, something else.
        """
        begun = (path / "manifest.json").exists()
        check_folder(path)
        if resume and begun:
            return
        if holds_something(path):
            hint = "--resume continues it, " if begun else ""
            raise InputError(f"{path} is not empty: {hint}another --output keeps it")

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """A run that is there.

        Raises:
            InputError: the folder holds no run.
        """
        folder = cls(path)
        if not folder.manifest_file.is_file():
            raise InputError(f"{path}: not a run folder (it has no manifest.json)")
        return folder

    @classmethod
    def reopen(
        cls,
        path: Path,
        *,
        arguments: dict[str, Any],
        resolved: dict[str, Any],
        examples: list[Example] | None = None,
    ) -> RunFolder:
        """Continue a run, or begin it where there is none yet.

        Raises:
            InputError: the run was begun with settings that give other figures, each of which is
                named, or with other examples; nothing was changed.
        """
        if not (path / "manifest.json").is_file():
            return cls.create(path, arguments=arguments, resolved=resolved)
        folder = cls.open(path)
        before = folder.manifest()["resolved"]
        differing = [
            f"{key}: {before.get(key)!r} there, {resolved.get(key)!r} now"
            for key in sorted({*before, *resolved})
            if before.get(key) != resolved.get(key)
        ]
        if differing:
            raise InputError(
                f"{path}: holds a run with other settings ({'; '.join(differing)}); "
                "choose another --output"
            )
        if examples is not None:
            folder.require_examples(examples)
        manifest, start = folder.manifest(), _start(arguments)
        # What was said of the first start alone counts for the folder no more; `starts` keeps it.
        first = {name: manifest.get(name) for name in start}
        known = manifest.get("starts")
        starts = known if isinstance(known, list) else [{"time": manifest.get("created"), **first}]
        again = {"status": "started", "error": None, "updated": _now(), **start}
        again["starts"] = [*starts, {"time": again["updated"], **start}]
        folder.write_manifest({**manifest, **again})
        clear_leftovers(path)
        return folder

    def manifest(self) -> dict[str, Any]:
        """The manifest as it stands."""
        value = read_json(self.manifest_file)
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise InputError(f"{self.manifest_file}: not a manifest of format {FORMAT}")
        parts = ("arguments", "resolved", "hashes")
        missing = [name for name in parts if not isinstance(value.get(name), dict)]
        if missing:
            raise InputError(f"{self.manifest_file}: no object {', '.join(missing)} in it")
        return value

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        """Replace the manifest."""
        write_json(self.manifest_file, manifest)

    def update(self, **changes: Any) -> None:
        """Change fields of the manifest; dictionaries are merged."""
        manifest = self.manifest()
        for key, value in changes.items():
            if isinstance(value, dict) and isinstance(manifest.get(key), dict):
                manifest[key].update(value)
            else:
                manifest[key] = value
        manifest["updated"] = _now()
        self.write_manifest(manifest)

    def set_status(self, status: Status, error: str | None = None) -> None:
        """Say how the run stands."""
        self.update(status=status, error=error)

    def write_dropped(self, dropped: Iterable[tuple[str, str]]) -> None:
        """List what could not be used or was not chosen: (id, reason); no file where all was."""
        rows = list(dropped)
        if rows:
            buffer = io.StringIO(newline="")
            csv.writer(buffer).writerows([("id", "reason"), *rows])
            write_atomic(self.dropped_file, buffer.getvalue())

    def write_examples(self, examples: list[Example], sources: list[Path]) -> None:
        """Store the examples and the hashes of what they came from.

        Raises:
            InputError: a resumed run was begun with other examples.
        """
        self.require_examples(examples)
        text = "".join(dump_record(example) for example in examples)
        digest = sha256_of_text(text)
        write_atomic(self.examples_file, text)
        prompts = "\n".join(example.text for example in examples)
        self.update(
            hashes={
                "examples": digest,
                "prompts": sha256_of_text(prompts),
                "data": {source.name: sha256_of(source) for source in sources},
            }
        )

    def require_examples(self, examples: list[Example]) -> None:
        """Refuse other examples than the run was begun with.

        Raises:
            InputError: as it says; nothing was changed.
        """
        known = self.manifest()["hashes"].get("examples") if self.manifest_file.exists() else None
        if known is None:
            return
        if known != sha256_of_text("".join(dump_record(example) for example in examples)):
            raise InputError(
                f"{self.path}: the data has changed since the run was begun; "
                "choose another --output"
            )

    def examples(self) -> list[Example]:
        """The examples of the run."""
        return read_records(_file(self.examples_file), Example)

    def predictions(self) -> list[Prediction]:
        """The predictions made so far."""
        return read_records(_file(self.predictions_file), Prediction)

    def summary(self) -> dict[str, Any]:
        """The summary.

        Raises:
            InputError: the run has not been scored.
        """
        if not self.summary_file.is_file():
            raise InputError(f"{self.path}: no summary.json in it; the run has not been scored")
        self.require_unchanged(self.summary_file)
        value = read_json(self.summary_file)
        if not isinstance(value, dict):
            raise InputError(f"{self.summary_file}: a JSON object was expected")
        if faults := faults_of_summary(value):
            raise InputError(f"{self.summary_file}: no summary of a run ({listing(faults)})")
        return value

    def require_unchanged(self, file: Path) -> None:
        """Refuse a file of scores that is not the one that the run was finished with.

        Raises:
            InputError: as it says; runs of versions that kept no hash are taken as they are.
        """
        known = self.manifest()["hashes"].get(file.name)
        if isinstance(known, str) and sha256_of(_file(file)) != known:
            raise InputError(
                f"{file}: was changed after the run was scored; "
                f"`libra-bench score --run {self.path}` makes it again"
            )

    def finish(self) -> None:
        """Say that all is there, and which scores belong to it."""
        files = (self.summary_file, self.scores_file)
        hashes = {file.name: sha256_of(file) for file in files}
        self.update(status="finished", error=None, hashes=hashes)

    def rescored(self, **changes: Any) -> None:
        """Say that scoring begins: what is there may belong to another one until it ends."""
        hashes = {file.name: None for file in (self.summary_file, self.scores_file)}
        self.update(status="started", error=None, hashes=hashes, **changes)


def _file(path: Path) -> Path:
    """A file of a run folder: a pipe in its place would be waited for, a device read for ever.

    Raises:
        InputError: something else stands there.
    """
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: a file was expected, and this is {kind_of(path)}")
    return path


def _start(arguments: dict[str, Any]) -> dict[str, Any]:
    """What one start of a run ran with and on."""
    return {
        "arguments": arguments,
        "versions": environment.versions(),
        "source": environment.commit(),
        "machine": environment.machine(),
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
