"""A system: anything that answers examples with reports, be it Libra or a text-only baseline."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import Any, Protocol

from libra_bench.core.errors import InputError
from libra_bench.core.records import Example, Prediction

Emit = Callable[[Prediction], None]

# What a single study can raise (a broken image, a device out of memory) without the whole run
# being wrong. What decoders and tokenizers raise is an InputError by the time it comes here. A
# programming error is none of these and stops the run, and so does a file that cannot be written.
STUDY_ERRORS = (InputError, RuntimeError, ValueError, MemoryError)


class System(Protocol):
    """What the driver asks of a system.

    Attributes:
        model_id: name that stands in predictions and signatures.
        trained: False where the weights are random, so that no table shows them as a result.
        chunk: how many examples the driver should hand over at once.
        metadata: what the texts depend on (decoding, revision); stored with each prediction.

    A system may have `sources(example)`: what its answer depends on, texts as `str` and files as
    `Path`. A resumed run answers again where they changed; without it prompt and images' names
    count.
    """

    model_id: str
    trained: bool
    chunk: int
    metadata: dict[str, Any]

    def describe(self) -> dict[str, Any]:
        """Facts for the manifest: weights, device, engine, decoding."""
        ...

    def check(self, examples: Sequence[Example]) -> None:
        """Refuse input that is unusable as a whole, before any work starts.

        Raises:
            InputError: what is wrong with it.
        """
        ...

    def generate(self, examples: Sequence[Example], emit: Emit) -> None:
        """Answer every example, handing each prediction to `emit` as soon as it is there.

        An example that cannot be answered is emitted as `failed`. An exception means that the
        examples not yet emitted should be tried again one by one.
        """
        ...


def failed(example: Example, system: System, error: Exception | str) -> Prediction:
    """The record of an example that could not be answered."""
    return Prediction(
        question_id=example.question_id,
        prompt=example.text,
        model_id=system.model_id,
        reference=example.reference or None,
        status="failed",
        error=str(error) or type(error).__name__,
        metadata=system.metadata,  # type: ignore[call-arg]  # an extra field of the record
    )


def answer(system: System, chunk: Sequence[Example], emit: Emit, answered: Container[str]) -> None:
    """Have a system answer examples, so that one that brings it down costs itself alone.

    Args:
        answered: ids of the predictions that `emit` has heard of.
    """
    try:
        system.generate(chunk, emit)
        return
    except STUDY_ERRORS as error:
        missing = [one for one in chunk if one.question_id not in answered]
        if len(chunk) == 1:
            for example in missing:
                emit(failed(example, system, error))
            return
    # One study may have brought the others down with it: each is tried again alone.
    for example in missing:
        answer(system, [example], emit, answered)
