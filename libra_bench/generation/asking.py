"""Which question an answer was given to: a resumed run keeps the answers that still fit."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from libra_bench.core.content import content_hash, file_state
from libra_bench.core.errors import InputError, Notice
from libra_bench.core.files import listing
from libra_bench.core.identity import question_hash, text_hash
from libra_bench.core.records import Example, Prediction
from libra_bench.generation.log import PredictionLog
from libra_bench.generation.system import System


class Parts(NamedTuple):
    """What an answer depends on beside who gives it: texts, and files of images."""

    texts: list[str]
    files: list[Path]

    def state(self) -> str:
        """Changes whenever `hash` does, and needs no file read."""
        return text_hash(*self.texts, "", *map(file_state, self.files))

    def hash(self) -> str:
        """The question, by its texts and its images' bytes."""
        return question_hash(self.texts, [content_hash(file) for file in self.files])


def parts(system: System, example: Example) -> Parts:
    """What `system` reads of an example; its prompt and its images' names where it says nothing.

    Raises:
        InputError: an image that is not there.
    """
    tell = getattr(system, "sources", None)
    sources = tell(example) if tell else [example.text, *example.image]
    return Parts(
        [one for one in sources if isinstance(one, str)],
        [one for one in sources if isinstance(one, Path)],
    )


def marks(system: System, example: Example) -> dict[str, str]:
    """`question_hash` and `question_state`, which stand in a prediction; empty where unknown."""
    try:
        asked = parts(system, example)
        return {"question_hash": asked.hash(), "question_state": asked.state()}
    except (InputError, OSError):
        return {}  # Its images cannot be read, so that it fails by itself.


def keep_what_fits(log: PredictionLog, system: System, examples: Sequence[Example]) -> None:
    """Leave the answers in the log that the same questions would get, and today's references.

    Answers to other questions are taken out, to be given again; a notice names them.

    Raises:
        InputError: answered examples whose images are gone; nothing was changed.
    """
    by_id = {example.question_id: example for example in examples}
    kept: dict[str, Prediction] = {}
    changed: list[str] = []
    gone: list[str] = []
    unmarked = 0
    for key, prediction in log.predictions.items():
        if prediction.status == "failed":
            continue  # It is tried again.
        example = by_id[key]
        try:
            fits = _fits(prediction, parts(system, example), example)
        except (InputError, OSError) as error:
            gone.append(f"id {key!r}: {error}")
            continue
        if not fits:
            changed.append(key)
            continue
        unmarked += _mark(prediction, "question_hash") is None
        reference = example.reference or None
        if prediction.reference != reference:
            prediction = prediction.model_copy(update={"reference": reference})
        kept[key] = prediction
    if gone:
        raise InputError(
            f"{log.path}: holds answers whose images are not there any more: {listing(gone, 5)}"
        )
    log.replace(kept)
    if changed:
        _tell(
            f"{log.path}: {len(changed)} examples are answered again, because prompt or images "
            f"are not what they were: {_some(changed)}"
        )
    if unmarked:
        _tell(
            f"{log.path}: {unmarked} answers are of an earlier version, which kept no hash of the "
            "images; they are kept where the prompt is the same"
        )


def _fits(prediction: Prediction, asked: Parts, example: Example) -> bool:
    known = _mark(prediction, "question_hash")
    if known is None:
        return prediction.prompt in ("", example.text)
    return _mark(prediction, "question_state") == asked.state() or known == asked.hash()


def _mark(prediction: Prediction, name: str) -> str | None:
    value = (prediction.model_extra or {}).get(name)
    return value if isinstance(value, str) else None


def _some(ids: Sequence[str]) -> str:
    return ", ".join(ids[:10]) + (" ..." if len(ids) > 10 else "")


def _tell(message: str) -> None:
    warnings.warn(message, Notice, stacklevel=3)
