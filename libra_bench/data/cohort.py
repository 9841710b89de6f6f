"""A cohort: examples, where their images are, and what was left out and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from libra_bench.core.records import Example


@dataclass(frozen=True)
class Dropped:
    """Something that could not be used."""

    id: str
    reason: str


@dataclass
class Cohort:
    """Examples of one corpus.

    Attributes:
        spec: what it was loaded from.
        image_root: the folder below which the examples' images lie; None for text alone.
        sources: files that decide the examples; the manifest holds their hashes.
        notes: what the user should know.
        settings: the options that decided the examples, as recorded.
    """

    name: str
    spec: str
    examples: list[Example] = field(default_factory=list)
    image_root: Path | None = None
    sources: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)
