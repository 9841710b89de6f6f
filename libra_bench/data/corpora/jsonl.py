"""Libra's evaluation format and ours (JSONL of examples), and Libra's training JSON."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from libra_bench.core.errors import InputError
from libra_bench.core.files import explain, listing, read_json, read_records
from libra_bench.core.records import Example
from libra_bench.data.cohort import Cohort
from libra_bench.data.corpora import refuse_policy

PHYSIONET = re.compile(r"(?:^|/)p(\d+)/s(\d+)/[^/]+$")


class Turn(BaseModel):
    """One turn of a conversation."""

    speaker: str = Field(alias="from")
    value: str


class Conversation(BaseModel):
    """One object of Libra's training JSON."""

    id: str | int
    image: str | list[str] = Field(default_factory=list)
    conversations: list[Turn] = Field(min_length=2)


def load(path: str, *, split: str | None, prior_policy: str | None, section: str) -> Cohort:
    """Examples of one file; images lie below its folder unless an image root is given.

    A file that begins with `[` is Libra's training JSON; each conversation's first question and
    answer is an example. Examples that name no split belong to any.
    """
    refuse_policy("a JSONL file", prior_policy)
    file = Path(path)
    notes: list[str] = []
    examples = _training(file, notes) if _is_array(file) else read_records(file, Example)
    chosen = [one for one in examples if split is None or one.split in (None, split)]
    return Cohort(
        name=file.stem,
        spec=path,
        examples=chosen,
        image_root=file.resolve().parent,
        sources=[file],
        notes=notes,
        settings={"split": split or "all", "prior_policy": prior_policy or "as given"},
    )


def _is_array(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            while block := stream.read(4096):
                if text := block.lstrip():
                    return text.startswith(b"[")
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror or error})") from None
    return False


def _training(file: Path, notes: list[str]) -> list[Example]:
    values: list[Any] = read_json(file)
    examples: dict[str, Example] = {}
    faults: list[str] = []
    longer = 0
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
        examples[example.question_id] = example
    if faults:
        raise InputError(f"{file}: {listing(faults)}")
    if not examples:
        raise InputError(f"{file}: no conversations in it")
    if longer:
        notes.append(f"{longer} conversations have further turns, which are left out")
    return list(examples.values())


def _example(conversation: Conversation) -> Example:
    question, answer = conversation.conversations[:2]
    images = [conversation.image] if isinstance(conversation.image, str) else conversation.image
    # PhysioNet's paths tell the patient, whose studies belong together in every bootstrap.
    known = PHYSIONET.search(images[0]) if images else None
    return Example.model_validate(
        {
            "question_id": conversation.id,
            "image": images,
            "text": question.value.replace("<image>", "").strip(),
            "reference": answer.value,
            "subject_id": known[1] if known else None,
            "study_id": known[2] if known else None,
        }
    )
