"""The fast engine: the reference's token ids, without its repeated work.

Each distinct image is encoded once (a missing prior is the current image, already encoded), the
connector and the prompt's prefill run once a study, the prompt's keys and values are kept once a
study, and many studies run side by side; a finished one hands its place to the next. On a GPU the
decode step has static shapes and is replayed as a CUDA graph.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from libra_bench.generation import search
from libra_bench.generation.decode import decode
from libra_bench.generation.engines.serving import cannot_serve
from libra_bench.generation.engines.shared_prefix import Places
from libra_bench.generation.engines.step import Step
from libra_bench.generation.protocols import Decoding
from libra_bench.generation.study import Study
from libra_bench.model.libra import LibraModel

SIDE_BY_SIDE = 8
"""Studies at a time unless told otherwise."""


@torch.inference_mode()
def generate(
    model: LibraModel,
    studies: Sequence[Study],
    decoding: Decoding,
    *,
    eos_token_ids: Sequence[int],
    pad_token_id: int,
    on_done: Callable[[int, list[int]], None] | None = None,
    side_by_side: int = SIDE_BY_SIDE,
    static: bool | None = None,
    during_step: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> list[list[int]]:
    """New token ids of each study, the end token included.

    Args:
        on_done: called with a study's place and its ids as soon as it is done; studies that end
            early are done before earlier ones that go on.
        side_by_side: how many studies run at a time.
        static: whether places stay when no study waits for them, so that the step keeps its
            shape; None for yes on a GPU, where the step is then captured, and no on a CPU, where
            an empty place costs as much as one in use.
        during_step: makes a context for each decode step, for whoever takes its time.
    """
    hear = on_done or (lambda place, ids: None)
    if reason := cannot_serve(model, studies, decoding):
        warnings.warn(f"the fast engine decodes study by study: {reason}", stacklevel=2)
        answers = []
        for place, study in enumerate(studies):
            image = _image(model, study)
            answers.append(decode(model, study, image, decoding, eos_token_ids, pad_token_id))
            hear(place, answers[-1])
        return answers
    if not studies:
        return []
    static = model.device.type == "cuda" if static is None else static
    run = _Run(model, studies, decoding, eos_token_ids, hear, static, during_step)
    return run.all(min(side_by_side, len(studies)))


def _image(model: LibraModel, study: Study) -> Tensor:
    views = (study.current, study.prior, study.lateral)
    current, prior, lateral = (None if one is None else one.unsqueeze(0) for one in views)
    assert current is not None
    return model.look(current, prior, lateral)[0]


@dataclass
class _Run:
    """One call of the engine."""

    model: LibraModel
    studies: Sequence[Study]
    decoding: Decoding
    eos: Sequence[int]
    hear: Callable[[int, list[int]], None]
    static: bool
    during_step: Callable[[], AbstractContextManager[object]]
    answers: dict[int, list[int]] = field(default_factory=dict)

    def all(self, side_by_side: int) -> list[list[int]]:
        """Answer every study."""
        beams, device = self.decoding.num_beams, self.model.device
        longest = max(len(study.prompt_ids) for study in self.studies)
        prompt = max(self.model.length_of(study.prompt_ids) for study in self.studies)
        places = Places(side_by_side, beams, self._group(), prompt)
        chosen = search.start(side_by_side, longest, self.decoding, self.eos, device)
        step = Step(self.model, places, capture=device.type == "cuda" and self.static)
        tokens = torch.zeros(side_by_side, beams, dtype=torch.long, device=device)
        waiting = list(range(len(self.studies)))
        holders: list[int | None] = [None] * side_by_side
        """The study in each place."""
        while True:
            for place in range(len(places)):
                # A study may have its whole answer after the prefill.
                while waiting and holders[place] is None:
                    holders[place] = waiting.pop(0)
                    tokens[place] = self._begin(place, holders, places, chosen)
            running = [place for place, holder in enumerate(holders) if holder is not None]
            if not running:
                return [self.answers[number] for number in range(len(self.studies))]
            if len(running) < len(places) and not self.static:
                places.keep(running)
                chosen.keep(running)
                tokens, holders = tokens[running], [holders[place] for place in running]
                running = list(range(len(running)))
            with self.during_step():
                logits = step(tokens)
            tokens[running], origins = chosen.advance(running, logits[running])
            places.reorder(running, origins)
            for place in running:
                self._finish(place, holders, places, chosen)

    def _group(self) -> int:
        """Query heads that share a key head."""
        config: Any = self.model.config.language
        heads: int = config.num_attention_heads
        return heads // (getattr(config, "num_key_value_heads", None) or heads)

    def _begin(
        self, place: int, holders: list[int | None], places: Places, chosen: search.Search
    ) -> Tensor:
        """Prefill the study in a place and choose its first tokens [beams]."""
        number = holders[place]
        assert number is not None
        study = self.studies[number]
        layers, logits = self._prefill(study)
        places.put(place, layers)
        chosen.begin(place, study.prompt_ids, self.decoding.seed_of(study.key))
        # All beams begin alike, so that none has to go on from another.
        tokens, _ = chosen.advance([place], logits.expand(1, chosen.beams, -1))
        self._finish(place, holders, places, chosen)
        return tokens[0]

    def _prefill(self, study: Study) -> tuple[list[tuple[Tensor, Tensor]], Tensor]:
        """Keys and values of a prompt by layer, and the logits [1, vocabulary] after it."""
        embeds = self.model.embed(study.prompt_ids, _image(self.model, study)).unsqueeze(0)
        # A cache that was told of no window keeps all positions.
        answer = self.model.language_model(
            inputs_embeds=embeds, past_key_values=DynamicCache(), use_cache=True, logits_to_keep=1
        )
        layers = [(layer.keys, layer.values) for layer in answer.past_key_values.layers]
        return layers, answer.logits[:, -1]

    def _finish(
        self, place: int, holders: list[int | None], places: Places, chosen: search.Search
    ) -> None:
        """Hand the answer of a place over, if it is there, and leave the place to another."""
        number = holders[place]
        if number is None or not chosen.done[place]:
            return
        holders[place] = None
        places.free(place)
        self.answers[number] = chosen.answer(place)
        self.hear(number, self.answers[number])
