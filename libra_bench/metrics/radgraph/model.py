"""DyGIE++ as RadGraph uses it: spans of words, their labels, and relations between them.

Wadden et al., 2019. Every span of up to `widest` words is the vectors of its first and its last
word and an embedding of its width. One network labels spans; another picks those that are tried for
relations; a third labels their pairs, from both spans and their product. The first layer of each
network is applied to the parts of its input on their own, where they are few, and summed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from libra_bench.core.errors import InputError
from libra_bench.metrics.neural import (
    batches_by_length,
    device,
    load_config,
    load_tokenizer,
    padded,
    side_by_side,
)
from libra_bench.metrics.radgraph.archive import Archive, find_encoder
from libra_bench.metrics.radgraph.heads import Heads, Relation, Span

if TYPE_CHECKING:
    from pathlib import Path

    import torch


# Classes of tokenizers that leave it to their file what a text is framed by, and models whose
# tokenizer is of them unless it says otherwise.
_ANY_TOKENIZER = {"PreTrainedTokenizerFast", "PreTrainedTokenizer", "TokenizersBackend"}
_WITHOUT_TOKENIZER = {"modernbert"}


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
            self._heads = Heads(archive, weights)
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
