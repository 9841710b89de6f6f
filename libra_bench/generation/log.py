"""The prediction log: one JSONL file, appended report by report, resumed by id."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from libra_bench.core.errors import InputError
from libra_bench.core.files import dump_record, read_records, write_atomic
from libra_bench.core.records import Example, Prediction


class PredictionLog:
    """Predictions of one run, on disk as soon as each is done.

    Args:
        path: the JSONL file.
        resume: continue a file that is there; without it such a file is an error.

    Raises:
        InputError: the file is there and `resume` is off, or it cannot be read.
    """

    def __init__(self, path: Path, *, resume: bool = False) -> None:
        self.path = path
        self.predictions: dict[str, Prediction] = {}
        if path.exists():
            if not resume:
                raise InputError(
                    f"{path} is there already: --resume continues it, another --output keeps it"
                )
            _drop_half_line(path)
            if path.stat().st_size:
                self.predictions = {
                    prediction.question_id: prediction
                    for prediction in read_records(path, Prediction)
                }
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = path.open("a", encoding="utf-8")

    def __enter__(self) -> PredictionLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.close()

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
        kept = {key: value for key, value in self.predictions.items() if value.status == "ok"}
        dropped = len(self.predictions) - len(kept)
        if dropped:
            self.predictions = kept
            self._rewrite(list(kept.values()))
        return dropped

    def append(self, prediction: Prediction) -> None:
        """Write one prediction; it is with the operating system when this returns."""
        self._stream.write(dump_record(prediction))
        self._stream.flush()
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
        if [prediction.question_id for prediction in ordered] != list(self.predictions):
            self._rewrite(ordered)
        os.fsync(self._stream.fileno())
        return ordered

    def _rewrite(self, predictions: Sequence[Prediction]) -> None:
        self._stream.close()
        write_atomic(self.path, "".join(dump_record(prediction) for prediction in predictions))
        self._stream = self.path.open("a", encoding="utf-8")


def _drop_half_line(path: Path) -> None:
    """Cut off a last line that a kill left unfinished; what stands before it is whole."""
    with path.open("rb+") as stream:
        data = stream.read()
        end = data.rfind(b"\n") + 1
        tail = data[end:].strip()
        if not tail:
            return
        try:
            json.loads(tail)
        except ValueError:
            stream.truncate(end)
        else:
            stream.write(b"\n")
