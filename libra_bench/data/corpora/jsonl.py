"""Libra's evaluation format and ours (JSONL of examples), and Libra's training JSON."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from libra_bench.core.errors import InputError
from libra_bench.core.fields import reference_of
from libra_bench.core.files import (
    explain,
    lines_expected,
    lines_of,
    listing,
    parse_json,
    read_bytes,
    read_records,
)
from libra_bench.core.ids import is_missing
from libra_bench.core.records import MOST_IMAGES, Example
from libra_bench.data.cohort import Cohort
from libra_bench.data.corpora import refuse_policy, refuse_report
from libra_bench.data.corpora.gathering import our_split

QUESTION, REFERENCE = "text", "reference"
"""Where an example holds its question, and the answer to compare with."""


class Turn(BaseModel):
    """One turn of a conversation."""

    speaker: str = Field(alias="from")
    value: str


class Conversation(BaseModel):
    """One object of Libra's training JSON; further fields (`subject_id`) are kept."""

    model_config = ConfigDict(extra="allow")

    id: Any
    """An id and images are as in any example, and checked where it is made."""
    image: Any = None
    conversations: list[Turn] = Field(min_length=2)


def load(path: str, *, split: str | None, prior_policy: str | None, section: str) -> Cohort:
    """Examples of one file; images lie below its folder unless an image root is given.

    A file that begins with `[` is Libra's training JSON; each conversation's first question and
    answer is an example. Examples that name no split belong to any.
    """
    refuse_policy("a JSONL file", prior_policy)
    refuse_report("a JSONL file", section)
    file = Path(path)
    notes: list[str] = []
    # Read once: a pipe (`/dev/stdin`) gives its content to the first who asks.
    content = read_bytes(file)
    if content.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"["):
        examples = _training(file, parse_json(file, content, unique=True), notes)
    else:
        examples = _evaluation(file, content, notes)
    # `val` and `dev` are our `validate`, as in every other corpus.
    examples = [one.model_copy(update={"split": our_split(one.split)}) for one in examples]
    chosen = [one for one in examples if split is None or one.split in (None, our_split(split))]
    return Cohort(
        name=file.stem,
        spec=path,
        examples=chosen,
        image_root=file.resolve().parent,
        sources=[file] if file.is_file() else [],
        notes=notes,
        settings={"split": split or "all", "prior_policy": prior_policy or "as given"},
    )


def _evaluation(file: Path, content: bytes, notes: list[str]) -> list[Example]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: not UTF-8 text (byte {error.start})") from None
    several: list[str] = []

    def adapt(value: dict[str, Any]) -> dict[str, Any]:
        # `text` is the question here; other names are read in the order of the fields' module.
        own = not is_missing(value.get(REFERENCE))
        name = REFERENCE if own else reference_of(value, taken=QUESTION)
        fields = value if name is None else {**value, "reference": value[name]}
        images = value.get("image")
        if not isinstance(images, list) or len(images) <= MOST_IMAGES:
            return fields
        several.append(str(value.get("question_id")))
        return {**fields, "image": images[:MOST_IMAGES]}

    with lines_expected(file, text):
        examples = read_records(file, Example, adapt, lines_of(text))
    notes += _more_than_two(several)
    return examples


def _more_than_two(ids: list[str]) -> list[str]:
    """What is said of examples with more images than Libra looks at; it takes the first two."""
    if not ids:
        return []
    shown = ", ".join(ids[:5]) + (" ..." if len(ids) > 5 else "")
    return [
        f"{len(ids)} examples have more than two images; the first is the current one, the "
        f"second the prior one, as in Libra's evaluation, the others are left out: {shown}"
    ]


def _training(file: Path, values: list[Any], notes: list[str]) -> list[Example]:
    examples: dict[str, Example] = {}
    faults: list[str] = []
    longer = 0
    several: list[str] = []
    for place, value in enumerate(values):
        where = f"object {place} (id {value.get('id') if isinstance(value, dict) else None!r})"
        try:
            conversation = Conversation.model_validate(value)
            example = _example(conversation)
        except ValidationError as error:
            faults += [f"{where}: {fault}" for fault in explain(error)]
            continue
        speakers = [turn.speaker for turn in conversation.conversations[:2]]
        if speakers != ["human", "gpt"]:
            faults.append(f"{where}: `human` and `gpt` were expected, not {' and '.join(speakers)}")
        if example.question_id in examples:
            faults.append(f"{where}: the id stands twice")
        longer += len(conversation.conversations) > 2
        if isinstance(conversation.image, list) and len(conversation.image) > MOST_IMAGES:
            several.append(example.question_id)
        examples[example.question_id] = example
    if faults:
        raise InputError(f"{file}: {listing(faults)}")
    if not examples:
        raise InputError(f"{file}: no conversations in it")
    if longer:
        notes.append(f"{longer} conversations have further turns, which are left out")
    notes += _more_than_two(several)
    return list(examples.values())


def _example(conversation: Conversation) -> Example:
    question, answer = conversation.conversations[:2]
    images = conversation.image
    return Example.model_validate(
        {
            **(conversation.model_extra or {}),
            "question_id": conversation.id,
            "image": images[:MOST_IMAGES] if isinstance(images, list) else images,
            "text": question.value.replace("<image>", "").strip(),
            "reference": answer.value,
        }
    )
