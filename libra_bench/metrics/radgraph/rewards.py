"""What two annotated reports share, under each published definition of a match."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from libra_bench.metrics.radgraph.annotation import Annotation, Entity

Facts = set[tuple[Any, ...]]


class Overlap(NamedTuple):
    """Precision, recall and F1 of two sets of facts, each 0 to 1."""

    precision: float
    recall: float
    f1: float


def entities(annotation: Annotation, name: Callable[[str], str] = str) -> Facts:
    """RG_E: (words, label) of every entity.

    Args:
        name: how an entity's words are compared; as they are, or `str.lower`.
    """
    return {_entity(entity, name) for entity in annotation["entities"].values()}


def entities_with_relations(annotation: Annotation, name: Callable[[str], str] = str) -> Facts:
    """RG_ER: (words, label), and whether the entity has relations."""
    return {
        (*_entity(entity, name), True) if entity["relations"] else _entity(entity, name)
        for entity in annotation["entities"].values()
    }


def complete(annotation: Annotation, name: Callable[[str], str] = str) -> Facts:
    """RG_bar_ER: (words, label, relation, words of its end); (words, label) where there is none.

    The words of entities with relations are compared in lower case whatever `name` says, as the
    package does.
    """
    everything = annotation["entities"]
    facts: Facts = set()
    for entity in everything.values():
        if not entity["relations"]:
            facts.add(_entity(entity, name))
        facts.update(
            (*_entity(entity, str.lower), label, everything[target]["tokens"].lower())
            for label, target in entity["relations"]
        )
    return facts


def relations(annotation: Annotation) -> Facts:
    """Of RadGraph F1: (entity, entity, label) of every relation."""
    everything = annotation["entities"]
    return {
        (_entity(entity, str), _entity(everything[target], str), label)
        for entity in everything.values()
        for label, target in entity["relations"]
    }


def overlap(prediction: Facts, reference: Facts) -> Overlap:
    """How many facts two reports share; all 0 where one has none."""
    shared = len(prediction & reference)
    if not shared:
        return Overlap(0.0, 0.0, 0.0)
    precision, recall = shared / len(prediction), shared / len(reference)
    return Overlap(precision, recall, 2 * precision * recall / (precision + recall))


def _entity(entity: Entity, name: Callable[[str], str]) -> tuple[str, str]:
    return name(entity["tokens"]), entity["label"]
