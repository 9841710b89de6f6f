"""DyGIE++ as RadGraph uses it: spans of words, their labels, and relations between them.

Wadden et al., 2019. Every span of up to `widest` words is the vectors of its first and its last
word and an embedding of its width. One network labels spans; another picks those that are tried for
relations; a third labels their pairs, from both spans and their product. The first layer of each
network is applied to the parts of its input on their own, where they are few, and summed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from libra_bench.core.errors import InputError
from libra_bench.metrics.neural import (
    batches_by_length,
    device,
    load_config,
    load_tokenizer,
    padded,
    side_by_side,
)
from libra_bench.metrics.radgraph.archive import NER_LABELS, RELATION_LABELS, Archive, find_encoder

if TYPE_CHECKING:
    from pathlib import Path

    import torch


_PRODUCTS_AT_ONCE = 1 << 22
# Classes of tokenizers that leave it to their file what a text is framed by, and models whose
# tokenizer is of them unless it says otherwise.
_ANY_TOKENIZER = {"PreTrainedTokenizerFast", "PreTrainedTokenizer", "TokenizersBackend"}
_WITHOUT_TOKENIZER = {"modernbert"}


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


class Model:
    """A RadGraph model, loaded.

    Args:
        encoder: folder with the encoder's tokenizer and configuration, see `find_encoder`.

    Raises:
        InputError: the weights do not fit the description or the encoder.
    """

    def __init__(self, archive: Archive, encoder: str) -> None:
        self._archive = archive
        folder = find_encoder(encoder, archive)
        weights = archive.weights()
        self._encoder = _Encoder(archive, folder, weights)
        try:
            self._heads = _Heads(archive, weights)
        except KeyError as error:
            raise InputError(f"{archive.path}: weights of RadGraph are missing: {error}") from None
        # Parts that do not fit one another are found here rather than in the middle of a cohort.
        self.read([["No", "pleural", "effusion", "."]])

    def read(self, reports: Sequence[Sequence[str]]) -> list[tuple[list[Span], list[Relation]]]:
        """Labelled spans of n reports, each given as its words, and the relations between them.

        Spans come in the order of their first, then their last word; relations in the order of
        their two spans.
        """
        import torch

        with torch.inference_mode():
            vectors = self._encoder.embed(reports)
        return list(side_by_side(self._of_words, vectors))

    def _of_words(self, words: torch.Tensor) -> tuple[list[Span], list[Relation]]:
        return self._heads.read(words) if len(words) else ([], [])


class _Encoder:
    """A vector for each word: the mean of the encoder's last hidden states over its pieces."""

    def __init__(self, archive: Archive, folder: Path, weights: dict[str, torch.Tensor]) -> None:
        import transformers

        prefix = f"_embedder.token_embedder_{archive.indexer}._matched_embedder.transformer_model."
        own = {
            key.removeprefix(prefix): value
            for key, value in weights.items()
            if key.startswith(prefix) and not key.endswith("position_ids")
        }
        auto: Any = transformers.AutoModel
        config = load_config(folder)
        model = auto.from_config(config, trust_remote_code=False)
        try:
            gaps = model.load_state_dict(own, strict=False)
        except RuntimeError as error:
            raise InputError(
                f"{archive.path} does not fit the configuration in {folder}: {error}"
            ) from None
        missing = [key for key in gaps.missing_keys if "pooler" not in key]
        unknown = [key for key in gaps.unexpected_keys if "pooler" not in key]
        if missing or unknown:
            raise InputError(
                f"{archive.path} does not fit the configuration in {folder}: "
                f"missing {missing[:4]}, not known there {unknown[:4]}"
            )
        self._model = model.to(device()).eval()
        self._tokenizer: Any = load_tokenizer(folder, config)
        self._pieces: dict[str, list[int]] = {}
        self._before, self._behind = self._frame()
        self._longest = archive.longest
        self._frames = archive.longest is None or _puts_frames(folder)

    def _frame(self) -> tuple[list[int], list[int]]:
        """The special tokens before and behind a text."""
        bare = self._tokenizer("a", add_special_tokens=False)["input_ids"]
        framed = self._tokenizer("a")["input_ids"]
        start = next(
            place for place in range(len(framed)) if framed[place : place + len(bare)] == bare
        )
        return framed[:start], framed[start + len(bare) :]

    def embed(self, reports: Sequence[Sequence[str]]) -> list[torch.Tensor]:
        """[words, width] for each report; zeros for a word without pieces."""

        self._cut({word for report in reports for word in report})
        rows: list[tuple[int, list[int]]] = []
        for number, report in enumerate(reports):
            pieces = [piece for word in report for piece in self._pieces[word]]
            rows += [(number, row) for row in self._rows(pieces)]
        hidden: dict[int, torch.Tensor] = {}
        batches = list(batches_by_length([len(ids) for _, ids in rows]))

        def states_of(places: list[int]) -> torch.Tensor:
            ids, mask = padded([rows[place][1] for place in places], self._padding)
            states: torch.Tensor = self._model(input_ids=ids, attention_mask=mask)[0]
            return states

        for places, states in zip(batches, side_by_side(states_of, batches), strict=True):
            for row, place in enumerate(places):
                hidden[place] = states[row, : len(rows[place][1])].cpu()
        of_report: list[list[torch.Tensor]] = [[] for _ in reports]
        for place, (number, _) in enumerate(rows):
            of_report[number].append(hidden[place])
        return [
            self._means(report, self._of_pieces(states) if states else None)
            for report, states in zip(reports, of_report, strict=True)
        ]

    def _rows(self, pieces: list[int]) -> list[list[int]]:
        """The pieces of a report in rows that the encoder reads."""
        before, behind = (self._before, self._behind) if self._frames else ([], [])
        step = len(pieces) or 1
        if self._longest is not None:
            step = self._longest - len(before) - len(behind)
        return [
            [*before, *pieces[start : start + step], *behind]
            for start in range(0, len(pieces), step)
        ]

    def _of_pieces(self, rows: Sequence[torch.Tensor]) -> torch.Tensor:
        """[pieces, width] from the rows' states, the frames taken away.

        They are taken away even where none were put, as by the package: then each piece has the
        state of its follower, and the last ones have none.
        """
        import torch

        first, last = len(self._before), len(self._behind)
        *full, end = rows
        states = torch.cat([*(row[first : len(row) - last] for row in full), end[first:]])
        if full and len(end) <= first:
            # What is left of the last row takes the place of the states before.
            states[len(states) - len(end) :] = end
        return states

    def _means(self, report: Sequence[str], states: torch.Tensor | None) -> torch.Tensor:
        """Mean over each word's pieces, from the states [pieces, width] of a report.

        A piece without a state does not count.
        """
        import torch

        width = self._model.config.hidden_size
        counts = torch.tensor([len(self._pieces[word]) for word in report], dtype=torch.long)
        owner = torch.repeat_interleave(torch.arange(len(report)), counts)
        sums, known = torch.zeros(len(report), width), torch.zeros(len(report))
        if states is not None:
            owner = owner[: len(states)]
            sums.index_add_(0, owner, states[: len(owner)])
            known.index_add_(0, owner, torch.ones(len(owner)))
        return sums / known.clamp_min(1).unsqueeze(1)

    @property
    def _padding(self) -> int:
        padding = self._tokenizer.pad_token_id
        return 0 if padding is None else int(padding)

    def _cut(self, words: set[str]) -> None:
        new = sorted(words - self._pieces.keys())
        if new:
            # DyGIE++'s own reading of two marks of older corpora.
            texts = [word[1:] if word in ("/.", "/?") else word for word in new]
            ids = self._tokenizer(texts, add_special_tokens=False)["input_ids"]
            self._pieces.update(zip(new, ids, strict=True))


def _puts_frames(folder: Path) -> bool:
    """Whether the package puts special tokens around what an encoder reads.

    It asks the tokenizer's class to put them; the class that fits any tokenizer, which ModernBERT
    has, puts none.
    """
    file = folder / "tokenizer_config.json"
    named = json.loads(file.read_text()).get("tokenizer_class") if file.is_file() else None
    if named is None:
        return load_config(folder).model_type not in _WITHOUT_TOKENIZER
    return str(named) not in _ANY_TOKENIZER


class _Heads:
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
