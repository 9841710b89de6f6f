"""The two records that flow through the suite: an `Example` goes in, a `Prediction` comes out."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator


def is_missing(value: Any) -> bool:
    """Whether a field holds nothing: null, or the NaN that pandas writes for it."""
    return value is None or (isinstance(value, float) and value != value)


class Example(BaseModel):
    """One report to write. A superset of Libra's evaluation format (JSONL).

    Further fields (sections such as `indication`, dataset columns) are kept as they are.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    question_id: str = Field(min_length=1)
    image: list[str] = Field(default_factory=list, max_length=2)
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

    @field_validator("question_id", "subject_id", "study_id", mode="before")
    @classmethod
    def _id_as_text(cls, value: Any) -> Any:
        # Ids come as numbers from some corpora and as text from others; one form for matching.
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        return value

    @field_validator("image", mode="before")
    @classmethod
    def _one_image_as_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else ([] if value is None else value)

    @field_validator("reference", mode="before")
    @classmethod
    def _no_reference_as_empty(cls, value: Any) -> Any:
        # Corpora made with pandas write a missing text as NaN.
        return "" if is_missing(value) else value

    @property
    def has_prior(self) -> bool:
        """Whether a prior image of its own stands beside the current one."""
        return len(self.image) > 1 and self.image[1] != self.image[0]

    def extra(self, name: str) -> str:
        """A further field as text; empty where it is absent."""
        value = (self.model_extra or {}).get(name)
        return "" if is_missing(value) else str(value)


class Prediction(BaseModel):
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

    @field_validator("question_id", mode="before")
    @classmethod
    def _id_as_text(cls, value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        return value
