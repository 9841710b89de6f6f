"""RaTEScore (Zhao et al., 2024), as the package RaTEScore 0.6.0 computes it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, ClassVar

import numpy as np

from libra_bench.core.errors import InputError, MissingResourceError
from libra_bench.core.names import unknown_name
from libra_bench.metrics.base import MeanMetric, Output
from libra_bench.metrics.cache import ContentCache
from libra_bench.metrics.cleaning import CLEANINGS
from libra_bench.metrics.ratescore.entities import Encoder, Entity, Recogniser
from libra_bench.metrics.resources import gaps
from libra_bench.metrics.sentences import split

NER = "Angelakeke/RaTE-NER-Deberta"
ENCODER = "FremyCompany/BioLORD-2023-C"

NO_ENTITY = 0.5
"""What a pair scores of which one side, or both, names no entity."""
TIE = 1e-5
"""Cosines that differ by less may come out in either order."""
_FINDINGS = ("ABNORMALITY", "DISEASE")


class RaTEScore(MeanMetric):
    """Mean RaTEScore: entities of each side matched with their nearest on the other.

    Sentences are found by medspaCy's rules, entities in them by a token classifier, and each entity
    is matched with the one of the highest cosine on the other side. A match weighs what the
    affinity matrix says of its two kinds; a finding matched with a negated one is worth
    `neg_weight` of its cosine. The score is the harmonic mean of the weighted means in both
    directions; a pair of which one side names no entity scores 0.5.

    A report is always compared with its own reference: the package shifts all pairs after a
    report without a sentence of three characters.

    Args:
        ner, encoder: folders, or names in the Hugging Face cache.
        matrix: `long` for whole reports, or `short`.
        cleaning: of the texts before.
    """

    name: ClassVar[str] = "ratescore"
    version: ClassVar[str] = "2"
    outputs: ClassVar[tuple[Output, ...]] = (Output("ratescore", "RaTEScore", low=-100.0),)
    requires: ClassVar[tuple[str, ...]] = ("weights", "spacy")

    def __init__(
        self,
        ner: str = NER,
        encoder: str = ENCODER,
        matrix: str = "long",
        cleaning: str = "none",
    ) -> None:
        self._recogniser, self._encoder = Recogniser(ner), Encoder(encoder)
        self._matrix = matrix
        self._affinity, self._negation = _affinity(matrix)
        self._cleaning = cleaning
        self._clean = CLEANINGS[cleaning]

    def missing(self) -> list[MissingResourceError]:
        return gaps(split.check, self._recogniser.check, self._encoder.check)

    def check(self) -> None:
        super().check()
        unknown = self._recogniser.kinds - {kind for kind, _ in self._affinity}
        if unknown:
            raise InputError(
                f"ratescore.ner: the affinity matrix has no weight for {', '.join(sorted(unknown))}"
            )

    def settings(self) -> Mapping[str, str]:
        return {
            "ner": self._recogniser.fingerprint,
            "encoder": self._encoder.fingerprint,
            "spacy": split.tokenizer_version(),
            "matrix": self._matrix,
            "agg": "mean",
            "clean": self._cleaning,
        }

    def each(self, predictions: Sequence[str], references: Sequence[str]) -> Sequence[float]:
        found = self._recogniser.read([self._clean(text) for text in [*references, *predictions]])
        vectors = self._encoder.embed([entity.text for entities in found for entity in entities])
        pairs = list(zip(found[: len(references)], found[len(references) :], strict=True))
        scores: list[float] = []
        tied: dict[int, str] = {}
        for place, (truth, hypothesis) in enumerate(pairs):
            if not truth or not hypothesis:
                scores.append(NO_ENTITY)
                continue
            one, other = (
                np.stack([vectors[entity.text] for entity in side]) for side in (truth, hypothesis)
            )
            cosines = one @ other.T
            if _tied(cosines, hypothesis) or _tied(cosines.T, truth):
                tied[place] = json.dumps([truth, hypothesis])
            scores.append(self._score(truth, hypothesis, cosines, cosines.T))
        for place, score in self._settled(tied).items():
            scores[place] = score
        return scores

    def _settled(self, tied: Mapping[int, str]) -> dict[int, float]:
        """Scores of pairs with ties between kinds, by their places.

        Which of the kinds counts is decided by the last bit of a cosine, so that these pairs are
        worked out with the package's own steps: the entities of one report through the encoder
        together, the cosines of one entity at a time.

        Args:
            tied: by place, the entities of reference and prediction, as JSON.
        """
        from torch.nn.functional import normalize

        def settle(keys: list[str]) -> list[float]:
            pairs = [
                [[Entity(*entity) for entity in side] for side in json.loads(key)] for key in keys
            ]
            reports = {tuple(entity.text for entity in side) for pair in pairs for side in pair}
            vectors = {texts: normalize(self._encoder.together(texts), dim=1) for texts in reports}
            results = []
            for truth, hypothesis in pairs:
                one, other = (
                    vectors[tuple(entity.text for entity in side)] for side in (truth, hypothesis)
                )
                there = np.stack([(other @ vector).numpy() for vector in one])
                back = np.stack([(one @ vector).numpy() for vector in other])
                results.append(self._score(truth, hypothesis, there, back))
            return results

        known: ContentCache[float] = ContentCache(
            "ratescore-ties-1", self._encoder.fingerprint, self._matrix
        )
        scores = known.through(list(tied.values()), settle)
        return {place: scores[key] for place, key in tied.items()}

    def _score(
        self,
        truth: Sequence[Entity],
        hypothesis: Sequence[Entity],
        there: np.ndarray,
        back: np.ndarray,
    ) -> float:
        """Score of one pair, from the entities of its reference and of its prediction.

        Args:
            there, back: cosines [truth, hypothesis] and [hypothesis, truth].
        """
        precision = self._weighted_mean(truth, hypothesis, there)
        recall = self._weighted_mean(hypothesis, truth, back)
        total = precision + recall
        return 2 * precision * recall / total if total else 0.0

    def _weighted_mean(
        self, entities: Sequence[Entity], others: Sequence[Entity], cosines: np.ndarray
    ) -> float:
        """Mean over entities of the cosine with the nearest of the others.

        Args:
            cosines: [entities, others].
        """
        import torch

        # torch's choice among equals decides between kinds, so it has to be torch's.
        best = torch.topk(torch.from_numpy(np.ascontiguousarray(cosines)), 1, dim=1)
        total = weights = 0.0
        for entity, value, place in zip(
            entities, best.values[:, 0].tolist(), best.indices[:, 0].tolist(), strict=True
        ):
            kinds = entity.kind, others[place].kind
            weight = self._affinity[kinds]
            total += value * weight * (self._negation if _negates(*kinds) else 1.0)
            weights += weight
        return total / weights if weights else 0.0


def _tied(cosines: np.ndarray, others: Sequence[Entity]) -> bool:
    """Whether an entity is as near to entities of one kind as to those of another.

    Args:
        cosines: [entities, others].
    """
    names = {kind: number for number, kind in enumerate({entity.kind for entity in others})}
    kinds = np.array([names[entity.kind] for entity in others])
    near = cosines > cosines.max(axis=1, keepdims=True) - TIE
    highest = np.where(near, kinds, -1).max(axis=1)
    lowest = np.where(near, kinds, len(names)).min(axis=1)
    return bool((highest != lowest).any())


def _negates(one: str, other: str) -> bool:
    """Whether one is a finding and the other a finding that is ruled out."""
    findings = {kind.removeprefix("NON-") for kind in (one, other)} <= set(_FINDINGS)
    return findings and one.startswith("NON-") != other.startswith("NON-")


def _affinity(matrix: str) -> tuple[dict[tuple[str, str], float], float]:
    """Weights by pair of kinds, and the worth of a match with a negation."""
    path = resources.files("libra_bench.metrics") / "constants" / "ratescore_affinity.json"
    published: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    del published["source"]
    if matrix not in published:
        raise unknown_name("ratescore.matrix", matrix, published)
    weights: dict[str, float] = published[matrix]
    negation = weights.pop("neg_weight")
    pairs = {tuple(name.upper().split("_")): weight for name, weight in weights.items()}
    return {(one, other): weight for (one, other), weight in pairs.items()}, negation
