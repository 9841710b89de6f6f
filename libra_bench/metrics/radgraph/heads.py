"""RadGraph's labels of spans and relations, from the vectors of a report's words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from libra_bench.core.errors import InputError
from libra_bench.metrics.radgraph.archive import NER_LABELS, RELATION_LABELS, Archive

if TYPE_CHECKING:
    import torch


_PRODUCTS_AT_ONCE = 1 << 22


class Span(NamedTuple):
    """A span of words with its label; both ends belong to it."""

    first: int
    last: int
    label: str


class Relation(NamedTuple):
    """A relation between two spans, each its first and its last word."""

    source: tuple[int, int]
    target: tuple[int, int]
    label: str


class Heads:
    """Labels of spans and of their pairs, from the vectors of a report's words."""

    def __init__(self, archive: Archive, weights: dict[str, torch.Tensor]) -> None:
        self._archive = archive
        self._widths = weights["_endpoint_span_extractor._span_width_embedding.weight"].float()
        ner = f"{archive.dataset}__{NER_LABELS}"
        relation = f"{archive.dataset}__{RELATION_LABELS}"
        layers = archive.feedforward_layers
        self._label = _Network.of(
            weights,
            f"_ner._ner_scorers.{ner}.0._module",
            f"_ner._ner_scorers.{ner}.1._module",
            layers,
        )
        pruner = f"_relation._mention_pruners.{relation}._scorer"
        self._mention = _Network.of(weights, f"{pruner}.0._module", f"{pruner}.1._module", layers)
        self._relate = _Network.of(
            weights,
            f"_relation._relation_feedforwards.{relation}",
            f"_relation._relation_scorers.{relation}",
            layers,
        )
        self._refuse_misfits(weights)

    def _refuse_misfits(self, weights: dict[str, torch.Tensor]) -> None:
        """Refuse labels and sizes that are not those of the weights.

        Raises:
            InputError: which.
        """
        archive = self._archive
        # What has no label, and what is no relation, scores 0 and has no weights.
        expected = {
            "labels of entities": (self._label, len(archive.labels[NER_LABELS]) - 1),
            "labels of relations": (self._relate, len(archive.labels[RELATION_LABELS])),
            "scores of mentions": (self._mention, 1),
        }
        for what, (network, count) in expected.items():
            if len(network.score[1]) != count:
                raise InputError(
                    f"{archive.path}: {count} {what}, but weights of {len(network.score[1])}"
                )
        if len(self._widths) != archive.widest:
            raise InputError(
                f"{archive.path}: spans of {archive.widest} words, but weights of "
                f"{len(self._widths)}"
            )
        behind = f"._linear_layers.{archive.feedforward_layers}."
        if any(behind in name for name in weights):
            raise InputError(
                f"{archive.path}: weights of more than {archive.feedforward_layers} layers"
            )

    def read(self, words: torch.Tensor) -> tuple[list[Span], list[Relation]]:
        """Spans and relations of one report, from the vectors [words, width] of its words."""
        import torch

        starts, ends = self._spans(len(words))
        labels = self._over_spans(self._label, words, starts, ends)
        # No label at all scores 0.
        best = torch.cat([labels.new_zeros(len(labels), 1), labels], dim=1).argmax(dim=1)
        names = self._archive.labels[NER_LABELS]
        spans = [
            Span(int(starts[place]), int(ends[place]), names[int(best[place])])
            for place in best.nonzero()[:, 0].tolist()
        ]
        return spans, self._relations(words, starts, ends, best > 0)

    def _relations(
        self,
        words: torch.Tensor,
        starts: torch.Tensor,
        ends: torch.Tensor,
        entities: torch.Tensor,
    ) -> list[Relation]:
        """Relations between spans that are tried and that are entities: no others count.

        Args:
            entities: [spans], whether each has a label.
        """
        import torch

        mention = self._over_spans(self._mention, words, starts, ends)[:, 0]
        # In single precision, as the number of spans decides what is tried.
        share = torch.tensor(float(len(words))) * self._archive.spans_per_word
        count = min(len(mention), max(1, math.ceil(share.item())))
        kept = mention.topk(count).indices.sort().values
        kept = kept[entities[kept]]
        if not len(kept):
            return []
        starts, ends, mention = starts[kept], ends[kept], mention[kept]
        spans = torch.cat([words[starts], words[ends], self._widths[ends - starts]], dim=1)
        scores = self._over_pairs(spans) + (mention[:, None, None] + mention[None, :, None])
        best = torch.cat([scores.new_zeros(*scores.shape[:2], 1), scores], dim=2).argmax(dim=2)
        names = self._archive.labels[RELATION_LABELS]
        places = list(zip(starts.tolist(), ends.tolist(), strict=True))
        return [
            Relation(places[one], places[other], names[int(best[one, other]) - 1])
            for one, other in best.nonzero().tolist()
        ]

    def _spans(self, words: int) -> tuple[torch.Tensor, torch.Tensor]:
        """First and last word of every span [spans]."""
        import torch

        first = torch.arange(words)[:, None].expand(-1, self._archive.widest)
        last = first + torch.arange(self._archive.widest)
        inside = last < words
        return first[inside], last[inside]

    def _over_spans(
        self, network: _Network, words: torch.Tensor, starts: torch.Tensor, ends: torch.Tensor
    ) -> torch.Tensor:
        """Scores [spans, labels]."""
        width = words.shape[1]
        first, last, wide = network.split([width, width, self._widths.shape[1]])
        hidden = (words @ first.T)[starts] + (words @ last.T)[ends]
        return network.behind_first(hidden + (self._widths @ wide.T)[ends - starts])

    def _over_pairs(self, spans: torch.Tensor) -> torch.Tensor:
        """Scores [spans, spans, labels], from the spans' vectors [spans, width]."""
        import torch

        one, other, product = self._relate.split([spans.shape[1]] * 3)
        first, second = spans @ one.T, spans @ other.T
        # Some rows at a time: the products of all pairs of a long report would fill the memory.
        rows = max(1, _PRODUCTS_AT_ONCE // spans.numel())
        return torch.cat(
            [
                self._relate.behind_first(
                    first[start : start + rows, None]
                    + second[None]
                    + (spans[start : start + rows, None] * spans[None]) @ product.T
                )
                for start in range(0, len(spans), rows)
            ]
        )


@dataclass(frozen=True)
class _Network:
    """Hidden layers with ReLU, and a linear layer that scores."""

    hidden: list[tuple[torch.Tensor, torch.Tensor]]
    score: tuple[torch.Tensor, torch.Tensor]

    @classmethod
    def of(cls, weights: dict[str, torch.Tensor], hidden: str, score: str, layers: int) -> _Network:
        def linear(name: str) -> tuple[torch.Tensor, torch.Tensor]:
            return weights[f"{name}.weight"].float(), weights[f"{name}.bias"].float()

        return cls(
            [linear(f"{hidden}._linear_layers.{layer}") for layer in range(layers)], linear(score)
        )

    def split(self, widths: list[int]) -> tuple[torch.Tensor, ...]:
        """The first layer's weights [hidden, width] for each part of its input."""
        import torch

        return torch.split(self.hidden[0][0], widths, dim=1)

    def behind_first(self, summed: torch.Tensor) -> torch.Tensor:
        """Scores [..., labels] from the first layer's sums [..., hidden], its bias still to add."""
        from torch.nn.functional import linear

        values = (summed + self.hidden[0][1]).relu()
        for weight, bias in self.hidden[1:]:
            values = linear(values, weight, bias).relu()
        return linear(values, *self.score)
