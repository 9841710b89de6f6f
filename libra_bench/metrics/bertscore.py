"""BERTScore: greedy matching of tokens by the cosine of their contextual embeddings."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from libra_bench.core.errors import InputError, MissingResourceError
from libra_bench.core.names import unknown_name
from libra_bench.metrics.base import MeanMetric, Output
from libra_bench.metrics.cache import ContentCache
from libra_bench.metrics.cleaning import CLEANINGS
from libra_bench.metrics.neural import (
    batches_by_length,
    load_config,
    load_model,
    load_tokenizer,
    longest_input,
    padded,
    refuse_broken,
)
from libra_bench.metrics.resources import fingerprint, gaps, model_folder, using

if TYPE_CHECKING:
    import torch

PROBE = "No pleural effusion."
"""What a model that was just loaded has to read."""
Triple = tuple[float, float, float]
"""Precision, recall, F1."""


class BertScore(MeanMetric):
    """Mean F1 of greedily matched token embeddings (Zhang et al., 2020), as `bert_score` has it.

    Each token's best cosine on the other side, averaged over the prediction's tokens (precision)
    and the reference's (recall), without the special tokens. With `idf` a token weighs
    log((N + 1) / (count + 1)), counted over all references that are scored together, so that the
    figure of a report then depends on its cohort. An empty prediction scores 0.

    Args:
        model: a folder, or a name in the Hugging Face cache.
        layer: the hidden layer, from 0, the embeddings, to the encoder's last.
        idf: `true` or `false`.
        baseline: `none`, or the model whose published baseline b rescales x to (x - b) / (1 - b).
        cleaning: of the texts before.
    """

    name: ClassVar[str] = "bertscore"
    version: ClassVar[str] = "1"
    outputs: ClassVar[tuple[Output, ...]] = (Output("bertscore", "BERTScore"),)
    requires: ClassVar[tuple[str, ...]] = ("weights",)

    def __init__(
        self,
        model: str = "distilbert-base-uncased",
        layer: str = "5",
        idf: str = "false",
        baseline: str = "none",
        cleaning: str = "libra",
    ) -> None:
        if not layer.isdecimal():
            raise InputError(f"bertscore.layer: a number of a layer was expected, not {layer!r}")
        if idf not in ("true", "false"):
            raise InputError(f"bertscore.idf: true or false was expected, not {idf!r}")
        self._model, self._layer, self._idf = model, int(layer), idf == "true"
        self._baseline = baseline
        self._shift = baseline_of(baseline, self._layer)
        self._cleaning = cleaning
        self._clean = CLEANINGS[cleaning]

    def missing(self) -> list[MissingResourceError]:
        return gaps(lambda: model_folder("bertscore.model", self._model))

    def settings(self) -> Mapping[str, str]:
        return {
            "encoder": self._model.rstrip("/").rpartition("/")[2],
            "weights": self._fingerprint,
            "layer": str(self._layer),
            "idf": "yes" if self._idf else "no",
            "rescale": self._baseline,
            "figure": "f1",
            "agg": "mean",
            "clean": self._cleaning,
        }

    def each(self, predictions: Sequence[str], references: Sequence[str]) -> Sequence[float]:
        return [triple[2] for triple in self.triples(predictions, references)]

    def triples(self, predictions: Sequence[str], references: Sequence[str]) -> list[Triple]:
        """Precision, recall and F1 of n pairs, on the 0-1 scale, rescaled if a baseline is set."""
        pairs = [
            (self._clean(prediction).strip(), self._clean(reference).strip())
            for prediction, reference in zip(predictions, references, strict=True)
        ]
        weights = self._encoder.idf([reference for _, reference in pairs]) if self._idf else {}
        cache: ContentCache[Triple] = ContentCache(
            "bertscore-1",
            self._fingerprint,
            str(self._layer),
            json.dumps([len(pairs), *sorted(weights.items())]) if self._idf else "no idf",
        )

        def compute(keys: list[str]) -> list[Triple]:
            idf = (weights, math.log(len(pairs) + 1)) if self._idf else None
            return self._encoder.match([by_key[key] for key in keys], idf)

        by_key = {json.dumps(pair): pair for pair in pairs}
        found = cache.through([json.dumps(pair) for pair in pairs], compute, at_once=256)
        return [self._rescaled(found[json.dumps(pair)]) for pair in pairs]

    def _rescaled(self, triple: Triple) -> Triple:
        precision, recall, f1 = (
            (value - shift) / (1 - shift) for value, shift in zip(triple, self._shift, strict=True)
        )
        return precision, recall, f1

    @cached_property
    def _fingerprint(self) -> str:
        return fingerprint(model_folder("bertscore.model", self._model))

    @cached_property
    def _encoder(self) -> _Encoder:
        return _Encoder(self._model, self._layer)


class RescaledBertScore(BertScore):
    """BERTScore as ReXrank has it: unrelated sentences score 0, and it can fall below.

    Runs of blanks are collapsed first, as in CXR-Report-Metric.
    """

    version: ClassVar[str] = "2"
    outputs: ClassVar[tuple[Output, ...]] = (Output("bertscore", "BERTScore", low=-math.inf),)

    def __init__(
        self,
        model: str = "distilroberta-base",
        layer: str = "5",
        idf: str = "false",
        baseline: str = "distilroberta-base",
        cleaning: str = "blanks",
    ) -> None:
        super().__init__(model, layer, idf, baseline, cleaning)


def baseline_of(name: str, layer: int) -> Triple:
    """The published baseline of a model's layer; zeros for `none`.

    Raises:
        InputError: there is none for that model or layer.
    """
    if name == "none":
        return 0.0, 0.0, 0.0
    path = resources.files("libra_bench.metrics") / "constants" / "bertscore_baselines.json"
    published = json.loads(path.read_text(encoding="utf-8"))
    del published["source"]
    if name not in published:
        raise unknown_name("bertscore.baseline", name, ["none", *published])
    if str(layer) not in published[name]:
        layers = ", ".join(published[name])
        raise InputError(f"bertscore.baseline {name}: there is none for layer {layer}, of {layers}")
    precision, recall, f1 = published[name][str(layer)]
    return precision, recall, f1


class _Encoder:
    """The lower layers of a model, and token matching with what they give."""

    def __init__(self, name: str, layer: int) -> None:
        folder = model_folder("bertscore.model", name)
        with using("bertscore.model", folder):
            config = load_config(folder)
            layers = int(config.num_hidden_layers)
        if layer > layers:
            raise InputError(f"bertscore.layer: {name} has {layers} layers, not {layer}")
        with using("bertscore.model", folder):
            self._load(folder, config, layer)

    def _load(self, folder: Path, config: Any, layer: int) -> None:
        layers = int(config.num_hidden_layers)
        self._tokenizer: Any = load_tokenizer(folder, config)
        self._longest = longest_input(self._tokenizer, config)
        # Byte-level BPE tells a word at the start of a text from the same word after a space;
        # `bert_score` reads the first word of a text like all others.
        self._before = " " if config.model_type in ("roberta", "gpt2") else ""
        # What lies above the layer is not even loaded.
        config.num_hidden_layers = layer
        model: Any = load_model("AutoModel", folder, config, layers)
        self._model = model.get_encoder() if config.is_encoder_decoder else model
        self._special = {self._tokenizer.cls_token_id, self._tokenizer.sep_token_id}
        refuse_broken(folder, {"states": self._embed(self.tokens([PROBE]))[0]})

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, special tokens included, cut to what the model can read."""
        ids: list[list[int]] = self._tokenizer(
            [text and self._before + text for text in texts],
            truncation=self._longest is not None,
            max_length=self._longest,
        )["input_ids"]
        return ids

    def idf(self, references: Sequence[str]) -> dict[int, float]:
        """Inverse document frequency of each token of the references."""
        counts: Counter[int] = Counter()
        for ids in self.tokens(references):
            counts.update(set(ids))
        return {
            token: math.log((len(references) + 1) / (count + 1)) for token, count in counts.items()
        }

    def match(
        self, pairs: Sequence[tuple[str, str]], idf: tuple[Mapping[int, float], float] | None
    ) -> list[Triple]:
        """Precision, recall and F1 of n pairs (prediction, reference).

        Args:
            idf: weights of tokens and the weight of a token that no reference holds; None to
                weigh all tokens but the special ones alike.
        """
        import torch

        texts = list(dict.fromkeys(text for pair in pairs for text in pair))
        ids = dict(zip(texts, self.tokens(texts), strict=True))
        vectors = self._embed([ids[text] for text in texts])
        embedded = dict(zip(texts, vectors, strict=True))

        def weights(text: str) -> torch.Tensor:
            if idf is None:
                return torch.tensor([float(token not in self._special) for token in ids[text]])
            return torch.tensor([idf[0].get(token, idf[1]) for token in ids[text]])

        results = []
        for prediction, reference in pairs:
            if not prediction or not reference:
                results.append((0.0, 0.0, 0.0))
                continue
            cosines = (embedded[prediction] @ embedded[reference].T).cpu()
            precision = _average(cosines.max(dim=1).values, weights(prediction))
            recall = _average(cosines.max(dim=0).values, weights(reference))
            total = precision + recall
            results.append((precision, recall, 2 * precision * recall / total if total else 0.0))
        return results

    def _embed(self, ids: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        """Unit vectors [tokens, width] for each text."""
        import torch

        vectors: dict[int, torch.Tensor] = {}
        with torch.inference_mode():
            for places in batches_by_length([len(row) for row in ids]):
                batch, mask = padded([ids[place] for place in places], self._tokenizer.pad_token_id)
                hidden = self._model(input_ids=batch, attention_mask=mask).last_hidden_state
                for row, place in enumerate(places):
                    kept = hidden[row, : len(ids[place])]
                    vectors[place] = kept / kept.norm(dim=-1, keepdim=True)
        return [vectors[place] for place in range(len(ids))]


def _average(values: torch.Tensor, weights: torch.Tensor) -> float:
    total = float(weights.sum())
    # Where no token carries weight (every one of them in every reference) nothing is known to
    # agree: `bert_score` divides by zero and reports 0.
    return float((values * weights).sum() / total) if total else 0.0
