"""What the readers of single files share: studies one by one, with all faults told together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from libra_bench.core.errors import InputError
from libra_bench.core.files import explain, listing
from libra_bench.core.ids import is_missing
from libra_bench.core.records import Example
from libra_bench.data.cohort import Cohort, Dropped
from libra_bench.data.prompts import question
from libra_bench.data.reporting import absent, reference_of

SPLITS = {"train": "train", "val": "validate", "valid": "validate", "validation": "validate"}
SPLITS |= {"validate": "validate", "dev": "validate", "test": "test"}
NOTHING = frozenset({"", "none", "nan", "n/a"})
"""What these sets write where a section is empty."""


def our_split(word: Any) -> str | None:
    """A split by our name; one that we have no name for stays as it is."""
    if is_missing(word):
        return None
    return SPLITS.get(str(word).strip().lower(), str(word))


def told(value: Any) -> str:
    """A section's text; empty where it says nothing.

    Raises:
        ValueError: something else than a text.
    """
    if is_missing(value):
        return ""
    if not isinstance(value, str):
        raise ValueError(f"a text was expected, not {value!r:.80}")
    return "" if value.strip().strip(".").lower() in NOTHING else value.strip()


def is_there(file: Path) -> bool:
    """Whether a file is there; a name that no file can have is not."""
    try:
        return file.is_file()
    except OSError:
        return False


@dataclass
class Gathering:
    """Studies of one file.

    Args:
        section: which text is asked for.
        split: the wanted one; None for all.
    """

    file: Path
    section: str
    split: str | None
    examples: list[Example] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    splits: Counter[str] = field(default_factory=Counter)

    def add(self, place: str, texts: Mapping[str, str], study: Mapping[str, Any]) -> None:
        """One study: an example, or the reason why it is none.

        Args:
            place: where it stands in the file.
            texts: its sections by name; those that tell the model something make the question.
            study: the example's other fields.
        """
        own = study.get("split")
        self.splits[str(own)] += 1
        if self.split is not None and own not in (None, self.split):
            return
        reference = reference_of(texts, self.section)
        if not reference:
            self.dropped.append(Dropped(str(study["question_id"]), absent(self.section)))
            return
        fields = {
            **{name: text for name, text in texts.items() if text},
            "prior_policy": "none",
            "text": question(texts, self.section),
            "reference": reference,
            **study,
        }
        try:
            self.examples.append(Example.model_validate(fields))
        except ValidationError as error:
            self.faults += [f"{place}: {fault}" for fault in explain(error)]

    def cohort(self, name: str, image_root: Path) -> Cohort:
        """All of it.

        Raises:
            InputError: the faults of the file, two studies with one id, or no study to use.
        """
        counts = Counter(one.question_id for one in self.examples)
        self.faults += [f"id {one!r} stands {n} times" for one, n in counts.items() if n > 1]
        if self.faults:
            raise InputError(f"{self.file}: {listing(self.faults)}")
        if not self.examples:
            there = ", ".join(f"{n} of {one}" for one, n in self.splits.items())
            why = f"; {len(self.dropped)} have {absent(self.section)}" if self.dropped else ""
            raise InputError(
                f"{self.file}: no study of split {self.split or 'any'} to use "
                f"(it has {there or 'none'}){why}"
            )
        if self.dropped:
            self.notes.append(f"{len(self.dropped)} studies left out: {absent(self.section)}")
        return Cohort(
            name=name,
            spec=str(self.file),
            examples=self.examples,
            image_root=image_root,
            sources=[self.file],
            notes=self.notes,
            dropped=self.dropped,
            settings={"split": self.split or "all", "prior_policy": "none"},
        )
