"""Libra's training file: conversations about one image, or about two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from libra_bench.core.errors import InputError
from libra_bench.core.files import explain, listing, read_json, write_json
from libra_bench.core.records import Example
from libra_bench.model.conversation import IMAGE_TAG

SPEAKERS = ("human", "gpt")


class _Message(BaseModel):
    model_config = ConfigDict(extra="ignore")

    speaker: str = Field(alias="from")
    value: str


class _Row(BaseModel):
    model_config = ConfigDict(extra="ignore")

    id: str
    image: list[str] = Field(min_length=1, max_length=2)
    conversations: list[_Message] = Field(min_length=2)

    @field_validator("id", mode="before")
    @classmethod
    def _id_as_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("image", mode="before")
    @classmethod
    def _one_image_as_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value


@dataclass(frozen=True)
class TrainingConversation:
    """One conversation to learn from.

    Attributes:
        images: paths below the image root: current, then prior where there is one.
        turns: questions, the image's tag taken out, with their answers.
    """

    id: str
    images: tuple[str, ...]
    turns: tuple[tuple[str, str], ...]

    def as_example(self) -> Example:
        """The first question as an example to answer, its answer as the reference."""
        question, answer = self.turns[0]
        return Example(
            question_id=self.id, image=list(self.images), text=question, reference=answer
        )


def read_conversations(path: Path) -> list[TrainingConversation]:
    """All conversations of a training file, `[{id, image, conversations}]`.

    Raises:
        InputError: all faults of the file together, each with its place and id.
    """
    rows = read_json(path)
    if not isinstance(rows, list) or not rows:
        raise InputError(f"{path}: a JSON list of conversations was expected")
    found: list[TrainingConversation] = []
    faults: list[str] = []
    for place, raw in enumerate(rows):
        name = f"entry {place} (id {raw.get('id') if isinstance(raw, dict) else None!r})"
        try:
            found.append(_conversation(_Row.model_validate(raw)))
        except ValidationError as error:
            faults += [f"{name}: {fault}" for fault in explain(error)]
        except InputError as error:
            faults.append(f"{name}: {error}")
    if faults:
        raise InputError(f"{path}: " + listing(faults))
    return found


def _conversation(row: _Row) -> TrainingConversation:
    speakers = [message.speaker for message in row.conversations]
    # Some corpora begin with the model's greeting, which the published trainer leaves out.
    messages = row.conversations[1:] if speakers[0] == SPEAKERS[1] else row.conversations
    expected = [SPEAKERS[place % 2] for place in range(len(messages))]
    if not messages or len(messages) % 2 or [one.speaker for one in messages] != expected:
        raise InputError(f"human and gpt must take turns, not {', '.join(speakers)}")
    texts = [message.value for message in messages]
    tags = [text.count(IMAGE_TAG) for text in texts]
    if tags[0] != 1 or sum(tags) != 1:
        raise InputError(f"{IMAGE_TAG} must stand once, in the first question")
    texts[0] = texts[0].replace(IMAGE_TAG, "").strip()
    pairs = zip(texts[::2], texts[1::2], strict=True)
    return TrainingConversation(row.id, tuple(row.image), tuple(pairs))


def write_conversations(path: Path, examples: Sequence[Example]) -> None:
    """Examples with their references as a training file; those without a reference are left out."""
    rows = [
        {
            "id": one.question_id,
            "image": one.image,
            "conversations": [
                {"from": SPEAKERS[0], "value": f"{IMAGE_TAG}\n{one.text}"},
                {"from": SPEAKERS[1], "value": one.reference},
            ],
        }
        for one in examples
        if one.reference.strip()
    ]
    write_json(path, rows)
