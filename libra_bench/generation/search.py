"""Choosing tokens: greedy, sampling and beam search, as `transformers` does it.

A search serves the studies that run side by side, each in a place of its own. It is told the
logits of their beams and says which tokens come next and from which beams they go on. It knows
nothing of models or caches, and all that it decides is decided on the device.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from libra_bench.core.errors import StudyError
from libra_bench.generation.protocols import Decoding
from libra_bench.model.ends import stop_of

LOWEST = -1e9
"""What `transformers` adds to a score that must not be chosen."""


class NotFiniteError(StudyError):
    """A model's logits are no numbers, or infinite, so that its answer means nothing."""

    def __init__(
        self, said: str = "the model's logits are not finite: weights or images are broken"
    ) -> None:
        super().__init__(said)


class Search:
    """What is common to all ways of choosing.

    Args:
        places: studies side by side.
        longest: ids of the longest prompt to come.
        eos: ids that end an answer; `EndTokens` may bring a text that ends it as well.
    """

    def __init__(
        self,
        places: int,
        longest: int,
        decoding: Decoding,
        eos: Sequence[int],
        device: torch.device,
    ) -> None:
        self.decoding, self.beams = decoding, decoding.num_beams
        self.eos = torch.tensor(list(eos), dtype=torch.long, device=device)
        self._stop = stop_of(eos)
        self.lengths = [0] * places
        """Ids of each place so far, its prompt among them."""
        self.new = [0] * places
        """Tokens chosen so far, by place."""
        self.done = [True] * places
        self._width = longest + decoding.max_new_tokens
        self._finite = torch.ones(places, dtype=torch.bool, device=device)
        """Whether all scores so far were numbers; read when the answer is asked for."""
        # Read and written by place: [places, beams, …].
        self._sequences = torch.zeros(
            places, self.beams, self._width, dtype=torch.long, device=device
        )

    def begin(self, place: int, prompt_ids: Tensor, seed: int) -> None:
        """Let a study take a place.

        Args:
            prompt_ids: [L], the image's -200 among them: the n-gram ban looks at them too.
            seed: of this study's sampling.
        """
        self.lengths[place], self.new[place], self.done[place] = len(prompt_ids), 0, False
        self._sequences[place, :, : len(prompt_ids)] = prompt_ids.to(self._sequences.device)
        self._finite[place] = True

    def advance(self, places: Sequence[int], logits: Tensor) -> tuple[Tensor, Tensor]:
        """Choose the next tokens of some places; `done` says afterwards which have their answer.

        Args:
            logits: [len(places), beams, vocabulary] after the last tokens.

        Returns:
            Tokens [len(places), beams], and for each the beam that it goes on from.
        """
        raise NotImplementedError

    def answer(self, place: int) -> list[int]:
        """The ids chosen, the end token included.

        Raises:
            NotFiniteError: they were chosen by logits that are no numbers.
        """
        if not self._finite[place]:
            raise NotFiniteError
        return self._chosen(place)

    def _chosen(self, place: int) -> list[int]:
        raise NotImplementedError

    def keep(self, places: Sequence[int]) -> None:
        """Take all other places away; those behind them move up."""
        for name in ("lengths", "new", "done"):
            setattr(self, name, [getattr(self, name)[place] for place in places])
        for name, value in list(vars(self).items()):
            if name.startswith("_") and isinstance(value, Tensor):
                setattr(self, name, value[list(places)])

    def _forbid(self, places: Sequence[int], scores: Tensor) -> Tensor:
        """Minus infinity where the protocol allows no token; scores as in `advance`."""
        scores = self._forbid_repeats(places, scores)
        early = [self.new[place] < self.decoding.min_new_tokens for place in places]
        if any(early):
            # An end token may lie behind the vocabulary: it never comes then.
            ends = torch.isin(torch.arange(scores.shape[2], device=scores.device), self.eos)
            banned = torch.tensor(early, device=scores.device)[:, None, None] & ends
            scores = scores.masked_fill(banned, -torch.inf)
        return scores

    def _forbid_repeats(self, places: Sequence[int], scores: Tensor) -> Tensor:
        """Ban each token that would end an n-gram which the sequence or its prompt holds."""
        size = self.decoding.no_repeat_ngram_size
        used = [self.lengths[place] for place in places]
        starts = max(used) - size + 1
        if not size or starts < 1:
            return scores
        lengths = torch.tensor(used, device=scores.device)[:, None, None]
        rows = self._sequences[list(places)]
        # An n-gram begins at each start and has ended where the sequence ends.
        fits = torch.arange(starts, device=scores.device) + size <= lengths
        repeated = fits.expand(-1, self.beams, -1)
        for offset in range(size - 1):
            at = (lengths - size + 1 + offset).clamp(min=0).expand(-1, self.beams, 1)
            repeated = repeated & (rows[:, :, offset : offset + starts] == rows.gather(2, at))
        vocabulary = scores.shape[-1]
        # The image's -200 is counted from the vocabulary's end, as `transformers` does.
        ends = rows[:, :, size - 1 : size - 1 + starts] % vocabulary
        # What is not banned goes into a column behind the vocabulary.
        ends = torch.where(repeated, ends, vocabulary)
        banned = torch.zeros(
            *scores.shape[:2], vocabulary + 1, dtype=torch.bool, device=ends.device
        )
        return scores.masked_fill(banned.scatter_(2, ends, True)[:, :, :-1], -torch.inf)

    def _grow(self, places: Sequence[int], tokens: Tensor, origins: Tensor) -> None:
        index = origins.unsqueeze(2).expand(-1, -1, self._width)
        rows = self._sequences[list(places)].gather(1, index)
        ends = torch.tensor([self.lengths[place] for place in places], device=tokens.device)
        rows.scatter_(2, ends[:, None, None].expand(-1, self.beams, 1), tokens.unsqueeze(2))
        self._sequences[list(places)] = rows
        for place in places:
            self.lengths[place] += 1
            self.new[place] += 1

    def _at_the_end(self, places: Sequence[int]) -> list[bool]:
        """Whether the next token of each place is the last that it may have."""
        return [self.new[place] + 1 >= self.decoding.max_new_tokens for place in places]


class SingleSearch(Search):
    """Greedy decoding, or sampling after temperature, top-k and top-p."""

    def __init__(
        self,
        places: int,
        longest: int,
        decoding: Decoding,
        eos: Sequence[int],
        device: torch.device,
    ) -> None:
        super().__init__(places, longest, decoding, eos, device)
        self._draws = [torch.Generator(device=device) for _ in range(places)]

    def begin(self, place: int, prompt_ids: Tensor, seed: int) -> None:
        """Let a study take a place; see `Search`."""
        super().begin(place, prompt_ids, seed)
        self._draws[place].manual_seed(seed)

    def keep(self, places: Sequence[int]) -> None:
        """Take all other places away; see `Search`."""
        super().keep(places)
        self._draws = [self._draws[place] for place in places]

    def advance(self, places: Sequence[int], logits: Tensor) -> tuple[Tensor, Tensor]:
        """Choose the next token of each place; see `Search`."""
        scores = self._forbid(places, logits.float())[:, 0]
        # The greatest is no number where any is none, and nothing is less than that.
        finite = scores.amax(dim=-1) < torch.inf
        self._finite[list(places)] &= finite
        if self.decoding.do_sample:
            # Nothing can be drawn by weights that are no numbers.
            scores = scores.masked_fill(~finite[:, None], 0.0)
            weights = self._warped(scores).softmax(dim=-1)
            drawn = [
                torch.multinomial(row, 1, generator=self._draws[place])
                for place, row in zip(places, weights, strict=True)
            ]
            tokens = torch.stack(drawn)
        else:
            tokens = scores.argmax(dim=-1, keepdim=True)
        last = self._at_the_end(places)
        origins = torch.zeros_like(tokens)
        self._grow(places, tokens, origins)
        ended = torch.isin(tokens[:, 0], self.eos).tolist()
        for place, end, limit in zip(places, ended, last, strict=True):
            self.done[place] = end or limit or self._at_the_text(place)
        return tokens, origins

    def _chosen(self, place: int) -> list[int]:
        length = self.lengths[place]
        return self._sequences[place, 0, length - self.new[place] : length].tolist()

    def _at_the_text(self, place: int) -> bool:
        if self._stop is None:
            return False
        length = self.lengths[place]
        tail = self._sequences[place, 0, max(0, length - len(self._stop.ids)) : length]
        return self._stop.ends(tail.tolist(), self.new[place])

    def _warped(self, scores: Tensor) -> Tensor:
        from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

        chosen, unread = self.decoding, torch.empty(0, dtype=torch.long)
        if chosen.temperature != 1:
            scores = TemperatureLogitsWarper(chosen.temperature)(unread, scores)
        if chosen.top_k:
            scores = TopKLogitsWarper(chosen.top_k)(unread, scores)
        return TopPLogitsWarper(chosen.top_p)(unread, scores) if chosen.top_p < 1 else scores


class BeamSearch(Search):
    """Beam search as in `transformers` 5 with `early_stopping=False`.

    `beams` sequences run; of the best continuations those that end are kept aside, the best
    `beams` of them, by log-probability over length to the power of the penalty. The search ends
    when no running sequence could beat the worst one kept, at its present length.
    """

    def __init__(
        self,
        places: int,
        longest: int,
        decoding: Decoding,
        eos: Sequence[int],
        device: torch.device,
    ) -> None:
        super().__init__(places, longest, decoding, eos, device)
        shape = (places, self.beams)
        self._scores = torch.zeros(shape, device=device)
        self._kept_scores = torch.zeros(shape, device=device)
        self._kept_new = torch.zeros(shape, dtype=torch.long, device=device)
        """Tokens of each answer that was kept; 0 where none was."""
        self._kept = torch.zeros(*shape, decoding.max_new_tokens, dtype=torch.long, device=device)

    def begin(self, place: int, prompt_ids: Tensor, seed: int) -> None:
        """Let a study take a place; see `Search`."""
        super().begin(place, prompt_ids, seed)
        self._scores[place] = LOWEST
        self._scores[place, 0] = 0.0
        self._kept_scores[place], self._kept_new[place] = LOWEST, 0

    def advance(self, places: Sequence[int], logits: Tensor) -> tuple[Tensor, Tensor]:
        """Choose the next tokens; see `Search`."""
        rows = list(places)
        scores = self._forbid(places, logits.float().log_softmax(dim=-1))
        scores = scores + self._scores[rows].unsqueeze(2)
        vocabulary = scores.shape[2]
        count = max(2, 1 + len(self.eos)) * self.beams
        best, at = torch.topk(scores.flatten(1), count)
        # The greatest is no number where any is none, and nothing is less than that.
        self._finite[rows] &= best[:, 0] < torch.inf
        origins, tokens = at // vocabulary, at % vocabulary
        last = torch.tensor(self._at_the_end(places), device=best.device)
        ends = torch.isin(tokens, self.eos) | last[:, None]
        if self._stop is not None:
            at_text = self._all_at_the_text(places, origins, tokens)
            ends |= torch.tensor(at_text, device=ends.device)[:, None]
        self._keep_finished(places, best, origins, tokens, ends)
        running = best + ends.float() * LOWEST
        chosen = torch.topk(running, self.beams)[1]
        self._scores[rows] = running.gather(1, chosen)
        origins, tokens = origins.gather(1, chosen), tokens.gather(1, chosen)
        self._grow(places, tokens, origins)
        done = ends.all(dim=1) | ~self._can_improve(places)
        for place, one in zip(places, done.tolist(), strict=True):
            self.done[place] = one
        return tokens, origins

    def _chosen(self, place: int) -> list[int]:
        return self._kept[place, 0, : int(self._kept_new[place, 0])].tolist()

    def _keep_finished(
        self, places: Sequence[int], best: Tensor, origins: Tensor, tokens: Tensor, ends: Tensor
    ) -> None:
        """Put finished continuations aside; only the best `beams` may finish."""
        rows, beams = list(places), self.beams
        finished = ends[:, :beams]
        penalties = self._penalties(places, 1)
        scores = (best[:, :beams] / penalties).masked_fill(~finished, -torch.inf)
        both = torch.cat([self._kept_scores[rows], scores], dim=1)
        # A stable sort, as ties go to what was kept first.
        both, order = torch.sort(both, dim=1, descending=True, stable=True)
        order = order[:, :beams]
        self._kept_scores[rows] = both[:, :beams]
        ours = self._own_tokens(places).gather(
            1, origins[:, :beams, None].expand(-1, -1, self._kept.shape[2])
        )
        count = torch.tensor([self.new[place] for place in places], device=best.device)
        at = count[:, None, None].expand(-1, beams, 1)
        ours = ours.scatter(2, at, tokens[:, :beams, None])
        texts = torch.cat([self._kept[rows], ours], dim=1)
        lengths = (count[:, None] + 1).expand(-1, beams)
        self._kept[rows] = texts.gather(1, order.unsqueeze(2).expand(-1, -1, texts.shape[2]))
        self._kept_new[rows] = torch.cat([self._kept_new[rows], lengths], dim=1).gather(1, order)

    def _all_at_the_text(
        self, places: Sequence[int], origins: Tensor, tokens: Tensor
    ) -> list[bool]:
        """Whether all continuations of each place have come to the text that ends an answer.

        Args:
            origins, tokens: of each continuation [len(places), continuations].
        """
        assert self._stop is not None
        found = []
        for row, place in enumerate(places):
            start = max(0, self.lengths[place] - len(self._stop.ids) + 1)
            tails = self._sequences[place, origins[row], start : self.lengths[place]]
            ids = torch.cat([tails, tokens[row, :, None]], dim=1).tolist()
            found.append(all(self._stop.ends(one, self.new[place] + 1) for one in ids))
        return found

    def _own_tokens(self, places: Sequence[int]) -> Tensor:
        """What was chosen for each beam [places, beams, max_new_tokens], without its prompt."""
        starts = [self.lengths[place] - self.new[place] for place in places]
        room = torch.arange(self._kept.shape[2], device=self._kept.device)
        at = torch.tensor(starts, device=room.device)[:, None, None] + room
        return self._sequences[list(places)].gather(2, at.expand(-1, self.beams, -1))

    def _can_improve(self, places: Sequence[int]) -> Tensor:
        rows = list(places)
        full = (self._kept_new[rows] > 0).all(dim=1)
        possible = self._scores[rows, 0] / self._penalties(places, 0)[:, 0]
        return ~full | (possible > self._kept_scores[rows].amin(dim=1))

    def _penalties(self, places: Sequence[int], more: int) -> Tensor:
        """Length to the power of the penalty [places, 1], with `more` tokens than now."""
        penalty = self.decoding.length_penalty
        values = [float((self.new[place] + more) ** penalty) for place in places]
        return torch.tensor(values, dtype=torch.float32, device=self._scores.device)[:, None]


def start(
    places: int, longest: int, decoding: Decoding, eos: Sequence[int], device: torch.device
) -> Search:
    """The search that a protocol asks for."""
    kind = BeamSearch if decoding.num_beams > 1 else SingleSearch
    return kind(places, longest, decoding, eos, device)
