"""Text-only baselines as systems."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from libra_bench.core.records import Example, Prediction
from libra_bench.generation.system import Emit
from libra_bench.model.baselines import indication_of


class Answers(Protocol):
    """A text-only baseline of `libra_bench.model.baselines`."""

    model_id: str

    def answer(self, examples: Sequence[Example]) -> list[str]:
        """One text an example."""
        ...


class BaselineSystem:
    """Runs a text-only baseline; it has no weights, no decoding and no device.

    Args:
        baseline: what answers.
        facts: what it depends on, for the manifest and the predictions.
    """

    trained = True
    chunk = 256

    def __init__(self, baseline: Answers, facts: dict[str, Any] | None = None) -> None:
        self._baseline = baseline
        self.model_id = baseline.model_id
        self.metadata: dict[str, Any] = {"decoding": "none", **(facts or {})}

    def describe(self) -> dict[str, Any]:
        """Facts for the manifest."""
        return {"kind": "text-only baseline", **self.metadata}

    def check(self, examples: Sequence[Example]) -> None:
        """Any example will do: nothing but its text is read."""

    def sources(self, example: Example) -> list[str]:
        """The prompt and the clinical context: no image."""
        return [example.text, indication_of(example)]

    def generate(self, examples: Sequence[Example], emit: Emit) -> None:
        """Answer every example."""
        for example, text in zip(examples, self._baseline.answer(examples), strict=True):
            emit(
                Prediction(
                    question_id=example.question_id,
                    prompt=example.text,
                    text=text,
                    model_id=self.model_id,
                    reference=example.reference or None,
                    metadata=self.metadata,  # type: ignore[call-arg]  # an extra field
                )
            )
