"""Choosing tokens for one study: greedy, sampling and beam search, as `transformers` does it.

A search is told the logits of its beams and says which tokens come next and from which beams they
go on. It knows nothing of models or caches.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from libra_bench.generation.protocols import Decoding

LOWEST = -1e9
"""What `transformers` adds to a score that must not be chosen."""


class Search:
    """What is common to all ways of choosing.

    Args:
        prompt_ids: [L], the image's -200 among them: the n-gram ban looks at them too.
        eos: ids that end an answer.
        seed: of this study's sampling.
    """

    def __init__(
        self,
        prompt_ids: Tensor,
        decoding: Decoding,
        eos: Sequence[int],
        seed: int,
        device: torch.device,
    ) -> None:
        self.decoding = decoding
        self.eos = torch.tensor(list(eos), device=device)
        self.beams = decoding.num_beams
        self.length = 0
        """Tokens chosen so far."""
        self.done = False
        self.sequences = prompt_ids.to(device).expand(self.beams, -1)
        """[beams, L + length], the prompt and what goes on from it."""
        self._prompt_length = len(prompt_ids)
        self._generator = torch.Generator(device=device).manual_seed(seed)

    def advance(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Choose the next tokens.

        Args:
            logits: [beams, vocabulary] after the last tokens.

        Returns:
            Tokens [beams], and for each the beam [beams] that it goes on from.
        """
        raise NotImplementedError

    def answer(self) -> list[int]:
        """The ids chosen, the end token included."""
        raise NotImplementedError

    def _forbid(self, scores: Tensor) -> Tensor:
        """Minus infinity where the protocol allows no token; scores [beams, vocabulary]."""
        scores = self._forbid_repeats(scores)
        if self.length < self.decoding.min_new_tokens:
            scores = scores.index_fill(1, self.eos, -torch.inf)
        return scores

    def _forbid_repeats(self, scores: Tensor) -> Tensor:
        size, length = self.decoding.no_repeat_ngram_size, self.sequences.shape[1]
        if not size or length + 1 < size:
            return scores
        starts = length - size + 1
        repeated = torch.ones(self.beams, starts, dtype=torch.bool, device=scores.device)
        for offset in range(size - 1):
            last = self.sequences[:, length - size + 1 + offset].unsqueeze(1)
            repeated &= self.sequences[:, offset : offset + starts] == last
        beam, start = repeated.nonzero(as_tuple=True)
        scores = scores.clone()
        scores[beam, self.sequences[beam, start + size - 1]] = -torch.inf
        return scores

    def _grow(self, tokens: Tensor, beams: Tensor) -> None:
        self.sequences = torch.cat([self.sequences[beams], tokens.unsqueeze(1)], dim=1)
        self.length += 1


class SingleSearch(Search):
    """Greedy decoding, or sampling after temperature, top-k and top-p."""

    def advance(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Choose the next token; see `Search`."""
        scores = self._forbid(logits.float())
        if self.decoding.do_sample:
            weights = self._warped(scores).softmax(dim=-1)
            token = torch.multinomial(weights, 1, generator=self._generator)[:, 0]
        else:
            token = scores.argmax(dim=-1)
        origin = torch.zeros(1, dtype=torch.long, device=logits.device)
        self._grow(token, origin)
        ended = bool(torch.isin(token, self.eos).any())
        self.done = ended or self.length >= self.decoding.max_new_tokens
        return token, origin

    def answer(self) -> list[int]:
        """The ids chosen; see `Search`."""
        return self.sequences[0, self._prompt_length :].tolist()

    def _warped(self, scores: Tensor) -> Tensor:
        from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

        chosen = self.decoding
        if chosen.temperature != 1:
            scores = TemperatureLogitsWarper(chosen.temperature)(self.sequences, scores)
        if chosen.top_k:
            scores = TopKLogitsWarper(chosen.top_k)(self.sequences, scores)
        return (
            TopPLogitsWarper(chosen.top_p)(self.sequences, scores) if chosen.top_p < 1 else scores
        )


class BeamSearch(Search):
    """Beam search as in `transformers` 5 with `early_stopping=False`.

    `beams` sequences run; of the best continuations those that end are kept aside, the best
    `beams` of them, by log-probability over length to the power of the penalty. The search ends
    when no running sequence could beat the worst one kept, at its present length.
    """

    def __init__(
        self,
        prompt_ids: Tensor,
        decoding: Decoding,
        eos: Sequence[int],
        seed: int,
        device: torch.device,
    ) -> None:
        super().__init__(prompt_ids, decoding, eos, seed, device)
        self._scores = torch.full((self.beams,), LOWEST, device=device)
        self._scores[0] = 0.0
        self._kept: list[tuple[float, bool, Tensor]] = [
            (LOWEST, False, self.sequences[0]) for _ in range(self.beams)
        ]

    def advance(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Choose the next tokens; see `Search`."""
        scores = self._forbid(logits.float().log_softmax(dim=-1)) + self._scores.unsqueeze(1)
        vocabulary = scores.shape[1]
        count = max(2, 1 + len(self.eos)) * self.beams
        best, places = torch.topk(scores.flatten(), count)
        origins, tokens = places // vocabulary, places % vocabulary
        ends = torch.isin(tokens, self.eos)
        if self.length + 1 >= self.decoding.max_new_tokens:
            ends = torch.ones_like(ends)
        self._keep(best, origins, tokens, ends)
        running = best + ends.float() * LOWEST
        chosen = torch.topk(running, self.beams)[1]
        self._scores = running[chosen]
        self._grow(tokens[chosen], origins[chosen])
        self.done = bool(ends.all()) or not self._can_improve()
        return tokens[chosen], origins[chosen]

    def answer(self) -> list[int]:
        """The best sequence kept; see `Search`."""
        return self._kept[0][2][self._prompt_length :].tolist()

    def _keep(self, best: Tensor, origins: Tensor, tokens: Tensor, ends: Tensor) -> None:
        """Put finished continuations aside; only the best `beams` may finish."""
        finished = ends[: self.beams].nonzero().flatten().tolist()
        if not finished:
            return
        # Divided on the device: the last bit of a score may decide between two answers.
        scores = (best / float((self.length + 1) ** self.decoding.length_penalty)).tolist()
        new = [
            (
                scores[place],
                True,
                torch.cat([self.sequences[origins[place]], tokens[place : place + 1]]),
            )
            for place in finished
        ]
        # A stable sort, as ties go to what was kept first.
        merged = sorted([*self._kept, *new], key=lambda row: -row[0])
        self._kept = merged[: self.beams]

    def _can_improve(self) -> bool:
        if not all(finished for _, finished, _ in self._kept):
            return True
        possible = self._scores[0] / float(self.length**self.decoding.length_penalty)
        return bool(possible > min(score for score, _, _ in self._kept))


def start(
    prompt_ids: Tensor, decoding: Decoding, eos: Sequence[int], key: str, device: torch.device
) -> Search:
    """The search that a protocol asks for."""
    kind = BeamSearch if decoding.num_beams > 1 else SingleSearch
    return kind(prompt_ids, decoding, eos, decoding.seed_of(key), device)
