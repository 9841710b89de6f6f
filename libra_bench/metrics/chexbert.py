"""CheXbert: the labels of a report by a BERT classifier, and their F1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from libra_bench.core.errors import InputError, MissingResourceError
from libra_bench.metrics.base import Metric, Output, PerReport
from libra_bench.metrics.cache import ContentCache
from libra_bench.metrics.cleaning import CLEANINGS
from libra_bench.metrics.cleaning import chexbert as without_gaps
from libra_bench.metrics.neural import (
    batches_by_length,
    device,
    load_config,
    load_state,
    load_tokenizer,
    padded,
    refuse_broken,
)
from libra_bench.metrics.resources import fingerprint, gaps, model_file, model_folder, using
from libra_bench.stats.clusters import Floats

if TYPE_CHECKING:
    import torch

LABELS = (
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
    "No Finding",
)
FIVE = ("Cardiomegaly", "Edema", "Consolidation", "Atelectasis", "Pleural Effusion")
"""The labels that papers on report generation single out."""

BLANK, POSITIVE, NEGATIVE, UNCERTAIN = range(4)
LONGEST = 512

CHECKPOINT = "StanfordAIMI/RRG_scorers/chexbert.pth"
ENCODER = "bert-base-uncased"

_AVERAGES = ("micro", "macro", "weighted")
_COUNTS = ("tp", "fp", "fn")


def _outputs() -> tuple[Output, ...]:
    return tuple(
        Output(f"chexbert_{size}_{average}_f1", f"CheXbert-{size} {average} F1")
        for size in (14, 5)
        for average in _AVERAGES
    )


class CheXbert(Metric):
    """F1 between the labels of prediction and reference (Smit et al., 2020).

    A label counts as present where CheXbert calls it positive or uncertain, as papers on report
    generation have it; blank and negative count as absent. Micro F1 counts all labels of all
    reports together, macro F1 is the mean of the labels' F1, weighted F1 weighs them by how many
    references have the label. An F1 without any positive on either side is 0, as in scikit-learn.

    A single report's own figure is the F1 of its two sets of labels, 100 where both are empty,
    whatever the average.

    Args:
        checkpoint: `chexbert.pth`.
        encoder: a folder or name with the tokenizer and configuration of its BERT.
        cleaning: of the texts before.
    """

    name: ClassVar[str] = "chexbert"
    version: ClassVar[str] = "2"
    outputs: ClassVar[tuple[Output, ...]] = _outputs()
    statistics: ClassVar[tuple[str, ...]] = (
        "count",
        *(f"{label}_{count}".lower().replace(" ", "_") for label in LABELS for count in _COUNTS),
    )
    requires: ClassVar[tuple[str, ...]] = ("weights",)

    def __init__(
        self, checkpoint: str = CHECKPOINT, encoder: str = ENCODER, cleaning: str = "none"
    ) -> None:
        self._labeller = Labeller(checkpoint, encoder)
        self._cleaning = cleaning
        self._clean = CLEANINGS[cleaning]

    def missing(self) -> list[MissingResourceError]:
        return self._labeller.missing()

    def settings(self) -> Mapping[str, str]:
        return {
            "weights": self._labeller.fingerprint,
            "uncertain": "positive",
            "clean": self._cleaning,
        }

    def compute(self, predictions: Sequence[str], references: Sequence[str]) -> PerReport:
        hypothesis, truth = (
            np.array([reading.present for reading in self._labeller.read(texts)])
            for texts in (
                [self._clean(text) for text in predictions],
                [self._clean(text) for text in references],
            )
        )
        counts = np.stack(
            [hypothesis & truth, hypothesis & ~truth, ~hypothesis & truth], axis=-1
        ).astype(np.float64)
        statistics = np.concatenate(
            [np.ones((len(counts), 1)), counts.reshape(len(counts), -1)], axis=1
        )
        values = {}
        for size, places in _subsets().items():
            own = 100 * _f1(counts[:, places].sum(axis=1), empty=1.0)
            values.update({f"chexbert_{size}_{average}_f1": own for average in _AVERAGES})
        return PerReport(statistics, values)

    def finalise(self, sums: Floats) -> dict[str, Floats]:
        scored = sums[..., 0] > 0
        counts = sums[..., 1:].reshape(*sums.shape[:-1], len(LABELS), len(_COUNTS))
        figures = {}
        for size, places in _subsets().items():
            chosen = counts[..., places, :]
            each = _f1(chosen)
            support = chosen[..., 0] + chosen[..., 2]
            total = support.sum(axis=-1)
            weighted = (each * support).sum(axis=-1) / np.where(total > 0, total, 1)
            averages = (_f1(chosen.sum(axis=-2)), each.mean(axis=-1), weighted)
            for average, value in zip(_AVERAGES, averages, strict=True):
                figures[f"chexbert_{size}_{average}_f1"] = np.where(scored, 100 * value, np.nan)
        return figures


def _subsets() -> dict[int, list[int]]:
    return {14: list(range(len(LABELS))), 5: [LABELS.index(label) for label in FIVE]}


def _f1(counts: Floats, empty: float = 0.0) -> Floats:
    """F1 [...] of true positives, false positives and false negatives [..., 3]."""
    double = 2 * counts[..., 0]
    total = double + counts[..., 1] + counts[..., 2]
    return np.where(total > 0, double / np.where(total > 0, total, 1), empty)


@dataclass(frozen=True)
class Reading:
    """What CheXbert makes of a report."""

    classes: np.ndarray
    """[14] `BLANK`, `POSITIVE`, `NEGATIVE` or `UNCERTAIN`, in the order of `LABELS`."""
    embedding: np.ndarray
    """[width] the last hidden state at [CLS], float32."""

    @property
    def present(self) -> np.ndarray:
        """[14], whether each label is positive or uncertain."""
        return np.isin(self.classes, (POSITIVE, UNCERTAIN))


class Labeller:
    """CheXbert's classifier: BERT, 13 heads of 4 classes and one, No Finding, of 2.

    Reports are cut at 512 tokens, as published. Weights are loaded when a report is read that no
    earlier run has read.
    """

    def __init__(self, checkpoint: str, encoder: str) -> None:
        self._checkpoint, self._encoder = checkpoint, encoder

    def missing(self) -> list[MissingResourceError]:
        """Which of the weights are not here, and how to name them."""
        return gaps(lambda: self._file, lambda: self._folder)

    @property
    def _file(self) -> Path:
        path = model_file("chexbert.checkpoint", self._checkpoint)
        if path.is_dir():
            raise MissingResourceError(
                f"chexbert.checkpoint: {path} is a folder",
                "--metric-option chexbert.checkpoint=FILE, of a file chexbert.pth",
            )
        return path

    @property
    def _folder(self) -> Path:
        return model_folder("chexbert.encoder", self._encoder, weights=False)

    @cached_property
    def fingerprint(self) -> str:
        """Of the checkpoint and of the tokenizer that goes with it."""
        return f"{fingerprint(self._file)}-{fingerprint(self._folder)}"

    def read(self, texts: Sequence[str]) -> list[Reading]:
        """Labels and embeddings of n reports, cleaned as published; equal ones are read once."""
        texts = [without_gaps(text) for text in texts]
        cache: ContentCache[Reading] = ContentCache(
            "chexbert-1", self.fingerprint, pack=_pack, unpack=_unpack
        )
        found = cache.through(texts, self._read)
        return [found[text] for text in texts]

    def _read(self, texts: list[str]) -> list[Reading]:
        import torch

        tokenizer, model, heads = self._loaded
        ids = tokenizer(texts, truncation=True, max_length=LONGEST)["input_ids"]
        readings: dict[int, Reading] = {}
        with torch.inference_mode():
            for places in batches_by_length([len(row) for row in ids]):
                batch, mask = padded([ids[place] for place in places], tokenizer.pad_token_id)
                first = model(input_ids=batch, attention_mask=mask).last_hidden_state[:, 0]
                classes = torch.stack([(first @ w.T + b).argmax(dim=1) for w, b in heads], dim=1)
                for place, row, vector in zip(
                    places, classes.cpu().numpy(), first.cpu().numpy(), strict=True
                ):
                    readings[place] = Reading(row, vector)
        return [readings[place] for place in range(len(texts))]

    @cached_property
    def _loaded(self) -> tuple[Any, Any, list[tuple[torch.Tensor, torch.Tensor]]]:
        """Tokenizer, encoder, and each head's weight and bias."""
        with using("chexbert.encoder", self._folder):
            config = load_config(self._folder)
            tokenizer = load_tokenizer(self._folder, config)
        with using("chexbert.checkpoint", self._file):
            return tokenizer, *self._weights(config)

    def _weights(self, config: Any) -> tuple[Any, list[tuple[torch.Tensor, torch.Tensor]]]:
        import transformers

        folder, path = self._folder, self._file
        state = load_state(path)
        if not isinstance(state, dict) or not isinstance(state.get("model_state_dict"), dict):
            raise InputError(f"{path}: no CheXbert checkpoint (it holds no model_state_dict)")
        weights = {
            key.removeprefix("module."): value for key, value in state["model_state_dict"].items()
        }
        refuse_broken(path, weights)
        heads = [
            (f"linear_heads.{place}.weight", f"linear_heads.{place}.bias")
            for place in range(len(LABELS))
        ]
        auto: Any = transformers.AutoModel
        model = auto.from_config(config, trust_remote_code=False)
        encoder = {
            key.removeprefix("bert."): value
            for key, value in weights.items()
            if key.startswith("bert.") and not key.endswith("position_ids")
        }
        known = model.state_dict()
        lacks = [key for pair in heads for key in pair if key not in weights]
        lacks += [key for key in known if key not in encoder and "pooler" not in key]
        if lacks:
            raise InputError(f"{path}: weights of CheXbert are missing: {', '.join(lacks[:8])}")
        strangers = [key for key in encoder if key not in known and "pooler" not in key]
        if strangers:
            raise InputError(f"{path}: {folder} knows no weights {', '.join(strangers[:8])}")
        for number, (weight, bias) in enumerate(heads):
            classes = 2 if number == len(LABELS) - 1 else 4
            shapes = [tuple(weights[name].shape) for name in (weight, bias)]
            if shapes != [(classes, config.hidden_size), (classes,)]:
                raise InputError(f"{path}: {weight} and its bias are {shapes}")
        try:
            model.load_state_dict(encoder, strict=False)
        except RuntimeError as error:
            raise InputError(
                f"{path} does not fit the configuration in {folder}: {error}"
            ) from None
        place = device()
        return (
            model.to(place).eval(),
            [(weights[weight].to(place), weights[bias].to(place)) for weight, bias in heads],
        )


def _pack(reading: Reading) -> bytes:
    return reading.classes.astype("<u1").tobytes() + reading.embedding.astype("<f4").tobytes()


def _unpack(data: bytes) -> Reading:
    return Reading(
        np.frombuffer(data, "<u1", count=len(LABELS)),
        np.frombuffer(data, "<f4", offset=len(LABELS)),
    )
