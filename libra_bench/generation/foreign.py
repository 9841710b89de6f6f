"""Somebody else's texts as a system: it answers from a file of predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from libra_bench.core.errors import InputError
from libra_bench.core.records import Example, Prediction
from libra_bench.data.texts import Answers, read_answers
from libra_bench.generation.system import Emit, failed

KEPT = ("weights", "decoding")
"""What a line may say of how its text was made, that signatures tell."""


class ForeignSystem:
    """Answers each example with the text that a file holds for it.

    Examples are known by `question_id`; where none of these is in the file, by `study_id`. An
    example without a text is failed: `no prediction in FILE`.

    Args:
        answers: the file, read.
    """

    trained = True
    chunk = 1024

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._texts = {one.question_id: one for one in answers.predictions}
        self._by_study = False
        self._unused = 0
        self.model_id = answers.model_id
        self.metadata: dict[str, Any] = {
            **dict.fromkeys(KEPT, "unknown"),
            **_shared(answers.predictions),
            "texts": answers.path.name,
            "sha256": answers.sha256,
        }

    @classmethod
    def load(cls, path: Path, columns: Mapping[str, str], *, alone: bool) -> ForeignSystem:
        """Read a file of predictions (`data.texts`).

        Args:
            alone: the references stand in the same file.

        Raises:
            InputError: it cannot be read as one.
        """
        return cls(read_answers(path, columns, alone=alone))

    @property
    def notes(self) -> list[str]:
        """What the user should know; complete once the examples were checked."""
        if not self._unused:
            return []
        return [
            f"{self._unused} of {len(self._texts)} predictions in {self._answers.path.name} are "
            "for none of the examples and are left out"
        ]

    def describe(self) -> dict[str, Any]:
        """Facts for the manifest."""
        return {"kind": "texts of others", **self.metadata, "predictions": len(self._texts)}

    def check(self, examples: Sequence[Example]) -> None:
        """Find out by which id the examples are known in the file.

        Raises:
            InputError: none of them is.
        """
        ids = {one.question_id for one in examples}
        studies = {one.study_id for one in examples if one.study_id}
        self._by_study = not ids & self._texts.keys()
        known = studies if self._by_study else ids
        if not known & self._texts.keys():
            raise InputError(
                f"{self._answers.path}: no prediction for any of the examples; its ids are like "
                f"{next(iter(self._texts))!r}, theirs like {examples[0].question_id!r}"
            )
        self._unused = len(self._texts.keys() - known)

    def generate(self, examples: Sequence[Example], emit: Emit) -> None:
        """Hand over the texts of the file."""
        for example in examples:
            key = example.study_id if self._by_study else example.question_id
            found = self._texts.get(key or "")
            if found is None:
                emit(failed(example, self, f"no prediction in {self._answers.path.name}"))
                continue
            update = {
                "question_id": example.question_id,
                "prompt": example.text,
                "model_id": self.model_id,
                "reference": example.reference or None,
                "metadata": self.metadata,
            }
            emit(found.model_copy(update=update))


def _shared(predictions: Sequence[Prediction]) -> dict[str, str]:
    """What every line says alike of how its text was made."""
    told = [(one.model_extra or {}).get("metadata") or {} for one in predictions]
    return {
        name: str(told[0][name])
        for name in KEPT
        if all(name in one and one[name] == told[0][name] for one in told)
    }
