"""The prediction log: one JSONL file, appended report by report, resumed by id."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from libra_bench.core.errors import InputError, writing
from libra_bench.core.files import dump_record, write_atomic
from libra_bench.core.outputs import check_file, hold
from libra_bench.core.records import Example, Prediction
from libra_bench.generation.stored import Stored, read_stored


class PredictionLog:
    """Predictions of one run, on disk as soon as each is done. One process at a time has it.

    Nothing on disk changes before the first prediction is written, so that a log that is refused
    stays as it was.

    Args:
        path: the JSONL file.
        resume: continue a file that is there; without it such a file is an error.

    Raises:
        InputError: the file is there and `resume` is off; it is no file of predictions; another
            process writes it.
    """

    def __init__(self, path: Path, *, resume: bool = False) -> None:
        self.path = path
        check_file(path)
        if path.exists() and not resume:
            raise InputError(
                f"{path} is there already: --resume continues it, another --output keeps it"
            )
        self._release: Callable[[], None] | None = hold(path)
        self._handle: int | None = None
        try:
            # Behind the lock: nobody adds to it while it is read.
            self._stored = read_stored(path) if path.exists() else Stored()
        except BaseException:
            self._close()
            raise
        self.predictions: dict[str, Prediction] = self._stored.predictions

    def __enter__(self) -> PredictionLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def require(self, metadata: dict[str, Any]) -> None:
        """Refuse to continue predictions that were made in another way.

        Raises:
            InputError: a stored prediction carries other metadata (decoding, weights).
        """
        for prediction in self.predictions.values():
            stored = (prediction.model_extra or {}).get("metadata", {})
            if stored != metadata:
                differing = ", ".join(
                    f"{key}: {stored.get(key)} there, {metadata.get(key)} now"
                    for key in sorted({*stored, *metadata})
                    if stored.get(key) != metadata.get(key)
                )
                raise InputError(
                    f"{self.path}: id {prediction.question_id!r} was generated with other "
                    f"settings ({differing}); choose another --output"
                )

    def forget_failed(self) -> int:
        """Take failed predictions out, so that a resumed run tries them again; how many."""
        return self.replace({k: one for k, one in self.predictions.items() if one.status == "ok"})

    def replace(self, predictions: dict[str, Prediction]) -> int:
        """Put other predictions in the place of those there; how many are there no more."""
        gone = len(self.predictions.keys() - predictions.keys())
        if predictions != self.predictions:
            self.predictions = predictions
            self._rewrite(list(predictions.values()))
        return gone

    def append(self, prediction: Prediction) -> None:
        """Write one prediction, whole or not at all; the system has it when this returns.

        Raises:
            OutputError: the disk is full, or the like; the file ends with the line before.
        """
        self._write(dump_record(prediction).encode("utf-8"))
        self.predictions[prediction.question_id] = prediction

    def finish(self, examples: Sequence[Example]) -> list[Prediction]:
        """All predictions in the order of the examples, and the file in that order too.

        A run that was interrupted ends with the same file as one that was not.
        """
        ordered = [
            self.predictions[example.question_id]
            for example in examples
            if example.question_id in self.predictions
        ]
        in_order = [prediction.question_id for prediction in ordered] == list(self.predictions)
        if self._stored.healed or not in_order:
            self._rewrite(ordered)
        with writing(self.path):
            os.fsync(self._open())
        return ordered

    def _open(self) -> int:
        """The file, open for appending behind its last whole line."""
        if self._handle is None:
            self._handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            if self._stored.end is not None:
                os.ftruncate(self._handle, self._stored.end)
            if self._stored.unended:
                os.write(self._handle, b"\n")
            self._stored.end, self._stored.unended = None, False
        return self._handle

    def _write(self, line: bytes) -> None:
        with writing(self.path):
            handle = self._open()
            start = os.fstat(handle).st_size
            rest = memoryview(line)
            try:
                while rest:
                    rest = rest[os.write(handle, rest) :]
            except BaseException:
                # A disk that is full takes a part of it.
                os.ftruncate(handle, start)
                raise

    def _rewrite(self, predictions: Sequence[Prediction]) -> None:
        write_atomic(self.path, "".join(dump_record(prediction) for prediction in predictions))
        self._close_file()
        self._stored = Stored()

    def _close_file(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _close(self) -> None:
        self._close_file()
        if self._release is not None:
            self._release()
            self._release = None
