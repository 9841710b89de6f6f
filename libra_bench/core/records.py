"""The two records that flow through the suite: an `Example` goes in, a `Prediction` comes out."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from libra_bench.core.ids import as_id, is_missing, known_id, whose

__all__ = ["MOST_IMAGES", "Example", "Prediction", "is_missing"]

MOST_IMAGES = 2
"""The current image and the prior one: what Libra looks at."""


class Record(BaseModel):
    """What is kept of each report, of which there may be very many."""

    def model_post_init(self, context: Any) -> None:
        """Share what is the same: a set of the fields that were given is half of a record."""
        given = self.__pydantic_fields_set__
        object.__setattr__(self, "__pydantic_fields_set__", _shared(frozenset(given)))


@lru_cache(maxsize=256)
def _shared(names: frozenset[str]) -> set[str]:
    # Nobody changes it: records are frozen, and a copy copies it.
    return set(names)


class Example(Record):
    """One report to write. A superset of Libra's evaluation format (JSONL).

    Further fields (sections such as `indication`, dataset columns) are kept as they are. Where no
    field names patient and study, the path of the first image may (`ids.whose`).
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    question_id: str = Field(min_length=1)
    image: list[str] = Field(default_factory=list, max_length=MOST_IMAGES)
    """Paths below the image root: the current image, then the prior one where there is one."""
    text: str
    """The question put to the model, with its clinical context."""
    reference: str = ""
    """The radiologist's text; empty where it is not known."""
    subject_id: str | None = None
    study_id: str | None = None
    split: str | None = None
    view: str | None = None
    prior_policy: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _find_the_patient(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        images = cls._one_image_as_list(values.get("image"))
        subject, study = whose(values, images if isinstance(images, list | tuple) else ())
        return {**values, "subject_id": subject, "study_id": study}

    @field_validator("question_id", mode="before")
    @classmethod
    def _id_as_text(cls, value: Any) -> Any:
        # Ids come as numbers from some corpora and as text from others; one form for matching.
        return as_id(value)

    @field_validator("image", mode="before")
    @classmethod
    def _one_image_as_list(cls, value: Any) -> Any:
        if isinstance(value, list | tuple):
            # A prior image that is null, or empty as tables write it, is none.
            there = list(value)
            while len(there) > 1 and (is_missing(there[-1]) or there[-1] == ""):
                there.pop()
            return there
        return [value] if isinstance(value, str) else ([] if is_missing(value) else value)

    @field_validator("reference", mode="before")
    @classmethod
    def _no_reference_as_empty(cls, value: Any) -> Any:
        # Corpora made with pandas write a missing text as NaN.
        return "" if is_missing(value) else value

    @field_validator("split", "view", "prior_policy", mode="before")
    @classmethod
    def _word_as_text(cls, value: Any) -> Any:
        return _words(value)

    @property
    def has_prior(self) -> bool:
        """Whether a prior image of its own stands beside the current one."""
        return len(self.image) > 1 and self.image[1] != self.image[0]

    def extra(self, name: str) -> str:
        """A further field as text; empty where it is absent."""
        value = (self.model_extra or {}).get(name)
        return "" if is_missing(value) else str(value)


class Prediction(Record):
    """One generated report. A superset of Libra's answer format (JSONL)."""

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())

    question_id: str = Field(min_length=1)
    prompt: str = ""
    text: str = ""
    model_id: str = ""
    reference: str | None = None
    status: Literal["ok", "failed"] = "ok"
    error: str | None = None
    new_tokens: int | None = None
    """Tokens delivered to the reader, the end token included; not those of other beams."""
    seconds: float | None = None
    """Wall-clock seconds this report took; its share of the batch where several ran together."""

    @model_validator(mode="before")
    @classmethod
    def _settings_as_mapping(cls, values: Any) -> Any:
        """Whoever writes what made a text as a text has it kept, under a name of its own."""
        if not isinstance(values, dict) or "metadata" not in values:
            return values
        made = values["metadata"]
        if is_missing(made):
            return {name: value for name, value in values.items() if name != "metadata"}
        return values if isinstance(made, dict) else {**values, "metadata": {"note": made}}

    @field_validator("question_id", mode="before")
    @classmethod
    def _id_as_text(cls, value: Any) -> Any:
        return as_id(value)

    @field_validator("prompt", "model_id", mode="before")
    @classmethod
    def _nothing_as_empty(cls, value: Any) -> Any:
        return known_id(value) or "" if not isinstance(value, str) else value

    @field_validator("reference", "error", "new_tokens", mode="before")
    @classmethod
    def _nothing_as_null(cls, value: Any) -> Any:
        return None if is_missing(value) else value

    @field_validator("status", mode="before")
    @classmethod
    def _no_status_is_done(cls, value: Any) -> Any:
        return "ok" if is_missing(value) else value

    @field_validator("seconds", mode="after")
    @classmethod
    def _no_endless_time(cls, value: float | None) -> float | None:
        # JSON can hold neither; a clock that shows them was not read.
        return value if value is None or math.isfinite(value) else None


def _words(value: Any) -> Any:
    """A word that came as a number, or as a list of words (`["PA"]`), as text."""
    if is_missing(value):
        return None
    if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
        return ", ".join(value) or None
    return as_id(value)
