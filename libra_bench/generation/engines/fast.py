"""The fast engine: the reference's token ids, without its repeated work.

Each distinct image is encoded once (a missing prior is the current image, already encoded), the
connector and the prompt's prefill run once a study, the prompt's keys and values are kept once a
study, and many studies run side by side; a finished one hands its place to the next.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from libra_bench.generation import search
from libra_bench.generation.decode import decode
from libra_bench.generation.engines.shared_prefix import Places, shared_prefix_attention
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
) -> list[list[int]]:
    """New token ids of each study, the end token included.

    Args:
        on_done: called with a study's place and its ids as soon as it is done; studies that end
            early are done before earlier ones that go on.
        side_by_side: how many studies run at a time.
    """
    hear = on_done or (lambda place, ids: None)
    if reason := _cannot_serve(model):
        warnings.warn(f"the fast engine decodes study by study: {reason}", stacklevel=2)
        answers = []
        for place, study in enumerate(studies):
            image = _image(model, study)
            answers.append(decode(model, study, image, decoding, eos_token_ids, pad_token_id))
            hear(place, answers[-1])
        return answers
    return _Run(model, studies, decoding, eos_token_ids, hear).all(side_by_side)


def _image(model: LibraModel, study: Study) -> Tensor:
    current = model.encode(study.current.unsqueeze(0))
    prior = None if study.prior is None else model.encode(study.prior.unsqueeze(0))
    return model.connect(current, prior)[0]


def _cannot_serve(model: LibraModel) -> str | None:
    """Why this language model cannot attend to a shared prefix; None where it can."""
    config: Any = model.config.language
    if getattr(config, "attn_logit_softcapping", None):
        return f"{config.model_type} caps its attention scores"
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    window = getattr(config, "sliding_window", None)
    uses_window = kinds - {"full_attention"} or (window and config.model_type in WINDOWED)
    if uses_window and (window is None or window < config.max_position_embeddings):
        return f"{config.model_type} attends within a window of {window}"
    return None


WINDOWED = ("mistral", "phi3")
"""Models that use `sliding_window` whenever it is set, without naming it layer by layer."""


@dataclass
class _Run:
    """One call of the engine."""

    model: LibraModel
    studies: Sequence[Study]
    decoding: Decoding
    eos: Sequence[int]
    hear: Callable[[int, list[int]], None]
    answers: dict[int, list[int]] = field(default_factory=dict)

    def all(self, side_by_side: int) -> list[list[int]]:
        """Answer every study."""
        waiting = list(range(len(self.studies)))
        running: list[tuple[int, search.Search]] = []
        tokens: list[Tensor] = []
        places: Places | None = None
        while waiting or running:
            while waiting and len(running) < side_by_side:
                number = waiting.pop(0)
                layers, logits = self._prefill(self.studies[number])
                if places is None:
                    places = self._places(layers[0][0].shape[2], self.studies[number])
                chosen, first = self._begin(number, logits)
                if chosen.done:
                    self._finish(number, chosen)
                    continue
                places.put(len(running), layers)
                running.append((number, chosen))
                tokens.append(first)
            if not running:
                continue
            assert places is not None
            tokens, origins = self._step(places, running, tokens)
            ended = [place for place, (_, one) in enumerate(running) if one.done]
            for place in ended:
                self._finish(*running[place])
            if ended:
                places.drop(ended)
                kept = [place for place in range(len(running)) if place not in ended]
                running = [running[place] for place in kept]
                tokens = [tokens[place] for place in kept]
                origins = [origins[place] for place in kept]
            if running:
                places.reorder(torch.stack(origins))
        return [self.answers[number] for number in range(len(self.studies))]

    def _places(self, prefix: int, study: Study) -> Places:
        """Room for the longest prompt; all images have as many vectors as this study's."""
        image = prefix - len(study.prompt_ids)
        longest = max(len(one.prompt_ids) for one in self.studies)
        return Places(longest + image, self.decoding.num_beams)

    def _prefill(self, study: Study) -> tuple[list[tuple[Tensor, Tensor]], Tensor]:
        """Keys and values of a prompt by layer, and the logits [1, vocabulary] after it."""
        embeds = self.model.embed(study.prompt_ids, _image(self.model, study)).unsqueeze(0)
        answer = self.model.language_model(inputs_embeds=embeds, use_cache=True, logits_to_keep=1)
        layers = [(layer.keys, layer.values) for layer in answer.past_key_values.layers]
        return layers, answer.logits[:, -1]

    def _begin(self, number: int, logits: Tensor) -> tuple[search.Search, Tensor]:
        study = self.studies[number]
        chosen = search.start(
            study.prompt_ids, self.decoding, self.eos, study.key, self.model.device
        )
        tokens, _ = chosen.advance(logits.expand(chosen.beams, -1))
        return chosen, tokens

    def _step(
        self, places: Places, running: list[tuple[int, search.Search]], tokens: list[Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        positions = places.begin(self.model.device)
        with shared_prefix_attention(self.model.language_model.config):
            answer = self.model.language_model(
                input_ids=torch.cat(tokens).unsqueeze(1),
                position_ids=positions,
                past_key_values=places,
                use_cache=True,
                places=places,
            )
        logits = answer.logits[:, -1].unflatten(0, (len(running), self.decoding.num_beams))
        chosen = [one.advance(row) for (_, one), row in zip(running, logits, strict=True)]
        return [pair[0] for pair in chosen], [pair[1] for pair in chosen]

    def _finish(self, number: int, chosen: search.Search) -> None:
        self.answers[number] = chosen.answer()
        self.hear(number, self.answers[number])
