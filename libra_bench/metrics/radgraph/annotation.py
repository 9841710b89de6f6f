"""Annotations of reports: RadGraph's own form, and the reader that makes and keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TypedDict

from libra_bench.metrics.cache import ContentCache
from libra_bench.metrics.radgraph.archive import (
    Archive,
    archive_fingerprint,
    find_archive,
    find_encoder,
    read_archive,
)
from libra_bench.metrics.radgraph.heads import Relation, Span
from libra_bench.metrics.radgraph.model import Model
from libra_bench.metrics.radgraph.words import words
from libra_bench.metrics.resources import fingerprint, using

OPTION = "radgraph.archive"


class Entity(TypedDict):
    """An entity: its words joined by blanks, its label, its first and last word, its relations.

    A relation is a label and the number of the entity it leads to.
    """

    tokens: str
    label: str
    start_ix: int
    end_ix: int
    relations: list[tuple[str, str]]


class Annotation(TypedDict):
    """What RadGraph reads in a report: entities by number, from "1", in the order of the text."""

    text: str
    entities: dict[str, Entity]


class Annotator:
    """Annotations of reports by a published archive.

    Args:
        archive: packed or unpacked, or `owner/repository/file` in the Hugging Face cache.
        encoder: folder or name of the encoder's tokenizer and configuration; empty for the name in
            the archive.
    """

    def __init__(self, archive: str, encoder: str) -> None:
        self._name, self._encoder = archive, encoder

    def check(self) -> None:
        """Find the archive and its encoder.

        Raises:
            MissingResourceError: which is missing, and how to name it.
        """
        find_archive(self._name)
        find_encoder(self._encoder, self._archive)

    @cached_property
    def fingerprint(self) -> str:
        """Of the archive and of the encoder's tokenizer and configuration."""
        encoder = fingerprint(find_encoder(self._encoder, self._archive))
        return f"{archive_fingerprint(self._archive.path)}-{encoder}"

    @property
    def dataset(self) -> str:
        """The data that the archive's labels are of."""
        return self._archive.dataset

    def read(self, reports: Sequence[str]) -> list[Annotation]:
        """Annotations of n reports; equal ones are read once, one without words has no entities."""
        cache: ContentCache[Annotation] = ContentCache("radgraph-2", self.fingerprint)
        found = cache.through(reports, self._read)
        return [found[report] for report in reports]

    def read_both(
        self, predictions: Sequence[str], references: Sequence[str]
    ) -> tuple[list[Annotation], list[Annotation]]:
        """As `read`, for both sides at once: more reports of like lengths meet in a batch."""
        found = self.read([*predictions, *references])
        return found[: len(predictions)], found[len(predictions) :]

    def _read(self, reports: list[str]) -> list[Annotation]:
        split = [words(report, self._archive.dataset) for report in reports]
        return [
            annotate(report, *found)
            for report, found in zip(split, self._model.read(split), strict=True)
        ]

    @cached_property
    def _archive(self) -> Archive:
        with using(OPTION, self._name):
            return read_archive(self._name)

    @cached_property
    def _model(self) -> Model:
        with using(OPTION, self._archive.path):
            return Model(self._archive, self._encoder)


def annotate(
    report: Sequence[str], spans: Sequence[Span], relations: Sequence[Relation]
) -> Annotation:
    """A report's annotation; relations to or from spans that are no entities fall away."""
    numbers = {(span.first, span.last): str(place) for place, span in enumerate(spans, start=1)}
    entities: dict[str, Entity] = {
        number: {
            "tokens": " ".join(report[span.first : span.last + 1]),
            "label": span.label,
            "start_ix": span.first,
            "end_ix": span.last,
            "relations": [],
        }
        for number, span in zip(numbers.values(), spans, strict=True)
    }
    for relation in relations:
        source, target = numbers.get(relation.source), numbers.get(relation.target)
        if source is not None and target is not None:
            entities[source]["relations"].append((relation.label, target))
    return {"text": " ".join(report), "entities": entities}
