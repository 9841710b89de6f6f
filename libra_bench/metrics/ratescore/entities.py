"""Entities of sentences by a token classifier, and vectors of entities by an encoder.

Both read every distinct text once: reports of normal chests share most sentences and entities.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from libra_bench.core.errors import InputError
from libra_bench.metrics.cache import ContentCache
from libra_bench.metrics.neural import (
    batches_by_length,
    load_config,
    load_model,
    load_tokenizer,
    padded,
    side_by_side,
)
from libra_bench.metrics.resources import fingerprint, model_folder, using
from libra_bench.metrics.sentences.split import sentences, tokenizer_version

if TYPE_CHECKING:
    import torch

SHORTEST_SENTENCE = 3
LONGEST_SENTENCE = 512
LONGEST_ENTITY = 30
_FRAME = ("[CLS]", "[SEP]")


class Entity(NamedTuple):
    """A medical entity as a report names it, and its kind: `ABNORMALITY`, `NON-DISEASE` ..."""

    text: str
    kind: str


class Recogniser:
    """Entities of reports by a token classifier with B-, I- and O labels.

    Args:
        name: a folder, or a name in the Hugging Face cache.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def check(self) -> None:
        """Find the weights.

        Raises:
            MissingResourceError: there are none.
        """
        model_folder("ratescore.ner", self._name)

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint(model_folder("ratescore.ner", self._name))

    @cached_property
    def kinds(self) -> set[str]:
        """All kinds of entity that the classifier knows."""
        folder = model_folder("ratescore.ner", self._name)
        with using("ratescore.ner", folder):
            labels = load_config(folder).id2label.values()
            found = {label[2:] for label in labels if label[:2] in ("B-", "I-")}
            if not found:
                raise InputError(f"{folder}: config.json names no label B-… or I-…")
        return found

    def read(self, reports: Sequence[str]) -> list[list[Entity]]:
        """The entities of n reports, sentence by sentence."""
        splits: ContentCache[list[str]] = ContentCache("sentences-1", tokenizer_version())
        split = splits.through(reports, lambda texts: [sentences(text) for text in texts])
        # RaTEScore leaves out what is too short to say anything.
        kept = {
            report: [text for text in found if len(text) >= SHORTEST_SENTENCE]
            for report, found in split.items()
        }
        known: ContentCache[list[list[str]]] = ContentCache(
            "ratescore-entities-1", self.fingerprint
        )
        of_sentence = known.through([text for texts in kept.values() for text in texts], self._read)
        return [
            [Entity(*entity) for text in kept[report] for entity in of_sentence[text]]
            for report in reports
        ]

    def _read(self, texts: list[str]) -> list[list[list[str]]]:
        tokenizer, model = self._loaded
        ids = tokenizer(texts, truncation=True, max_length=LONGEST_SENTENCE)["input_ids"]
        batches = list(batches_by_length([len(row) for row in ids]))

        def classify(places: list[int]) -> list[list[int]]:
            batch, mask = padded([ids[place] for place in places], tokenizer.pad_token_id)
            classes: list[list[int]] = (
                model(input_ids=batch, attention_mask=mask).logits.argmax(dim=-1).tolist()
            )
            return classes

        names = model.config.id2label
        labels: dict[int, list[str]] = {}
        for places, rows in zip(batches, side_by_side(classify, batches), strict=True):
            for place, row in zip(places, rows, strict=True):
                labels[place] = [names[label] for label in row[: len(ids[place])]]
        found = []
        for place, row in enumerate(ids):
            tokens = tokenizer.convert_ids_to_tokens(row)
            found.append(
                [
                    [tokenizer.convert_tokens_to_string(tokens[first : last + 1]), kind]
                    for first, last, kind in entity_spans(tokens, labels[place])
                ]
            )
        return found

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        folder = model_folder("ratescore.ner", self._name)
        with using("ratescore.ner", folder):
            config = load_config(folder)
            model = load_model("AutoModelForTokenClassification", folder, config)
            return load_tokenizer(folder, config), model


def entity_spans(tokens: Sequence[str], labels: Sequence[str]) -> list[tuple[int, int, str]]:
    """First and last token of each entity, and its kind.

    RaTEScore's own reading of the labels, kept with its turns: a label is closed by the one behind
    it, an I- before a B- belongs to both entities, and an entity that is open at the end of the
    sentence reaches to its last token, but only if none was closed before it without an O.

    Args:
        tokens, labels: [n] of a sentence, with the tokens that frame it.
    """
    spans: list[tuple[int, int, str]] = []
    start: int | None = None
    end: int | None = None
    kind = ""
    for place, (token, label) in enumerate(zip(tokens, labels, strict=True)):
        if token in _FRAME or label == "O" or place == len(labels) - 1:
            continue
        here, following = label[:2], labels[place + 1][:2]
        if here == "B-" and following == "I-":
            start, kind = place, label[2:]
        elif here == "B-" and following == "B-":
            spans.append((place, place, label[2:]))
            start, end, kind = place, place, label[2:]
        elif here == "B-":
            spans.append((place, place, label[2:]))
            start = end = None
        elif following != "I-":
            if start is not None:
                spans.append((start, place, kind))
            if following == "B-":
                start, end, kind = place, place, label[2:]
            else:
                start = end = None
    if start is not None and end is None:
        spans.append((start, len(tokens) - 2, kind))
    return spans


class Encoder:
    """Vectors of entities: an encoder's last hidden state at the first token.

    Args:
        name: a folder, or a name in the Hugging Face cache.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def check(self) -> None:
        """Find the weights.

        Raises:
            MissingResourceError: there are none.
        """
        model_folder("ratescore.encoder", self._name)

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint(model_folder("ratescore.encoder", self._name))

    def embed(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """A vector [width], float32, of length 1 for each distinct text."""
        cache: ContentCache[np.ndarray] = ContentCache(
            "ratescore-vectors-1",
            self.fingerprint,
            pack=lambda vector: vector.astype("<f4").tobytes(),
            unpack=lambda data: np.frombuffer(data, "<f4"),
        )
        return cache.through(texts, self._embed)

    def together(self, texts: Sequence[str]) -> torch.Tensor:
        """Vectors [n, width] of a report's entities, not of length 1, from one batch in this order.

        In another batch, or in other company, a vector differs in its last bits.
        """
        import torch

        tokenizer, model = self._loaded
        ids = tokenizer(list(texts), truncation=True, max_length=LONGEST_ENTITY)["input_ids"]
        batch, mask = padded(ids, tokenizer.pad_token_id)
        with torch.inference_mode():
            first = model(input_ids=batch, attention_mask=mask).last_hidden_state[:, 0]
        return cast("torch.Tensor", first.cpu())

    def _embed(self, texts: list[str]) -> list[np.ndarray]:
        import torch

        tokenizer, model = self._loaded
        ids = tokenizer(texts, truncation=True, max_length=LONGEST_ENTITY)["input_ids"]
        batches = list(batches_by_length([len(row) for row in ids]))

        def first_tokens(places: list[int]) -> np.ndarray:
            batch, mask = padded([ids[place] for place in places], tokenizer.pad_token_id)
            first = model(input_ids=batch, attention_mask=mask).last_hidden_state[:, 0]
            unit: np.ndarray = torch.nn.functional.normalize(first, dim=1).cpu().numpy()
            return unit

        vectors: dict[int, np.ndarray] = {}
        for places, units in zip(batches, side_by_side(first_tokens, batches), strict=True):
            vectors.update(zip(places, units, strict=True))
        return [vectors[place] for place in range(len(texts))]

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        folder = model_folder("ratescore.encoder", self._name)
        with using("ratescore.encoder", folder):
            config = load_config(folder)
            return load_tokenizer(folder, config), load_model("AutoModel", folder, config)
