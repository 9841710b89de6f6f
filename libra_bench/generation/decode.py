"""Decoding one study through `transformers`' own `generate`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor, StoppingCriteria

from libra_bench.generation.protocols import Decoding
from libra_bench.generation.search import NotFiniteError
from libra_bench.generation.study import Study
from libra_bench.model.ends import Stop, stop_of
from libra_bench.model.libra import LibraModel


class NoRepeatedNGrams(LogitsProcessor):
    """Ban each token that would end an n-gram which the sequence or its prompt holds.

    transformers' own processor scatters into the banned ids; -200, which stands for the image, is
    no index there (a failed report, on a GPU an assertion of the device). The published code's
    release counted it from the vocabulary's end, as is done here.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores [n, vocabulary] with minus infinity where a token is banned."""
        banned = torch.zeros_like(scores, dtype=torch.bool)
        for row, ids in enumerate(input_ids.tolist()):
            start = len(ids) + 1 - self.size
            if start < 1:
                continue
            last = ids[start:]
            ends = [
                ids[place + self.size - 1] % scores.shape[1]
                for place in range(start)
                if ids[place : place + self.size - 1] == last
            ]
            banned[row, ends] = True
        return scores.masked_fill(banned, -torch.inf)


class _AtText(StoppingCriteria):
    """Ends all sequences once all have come to a text, as the published code does."""

    def __init__(self, stop: Stop, prompt: int) -> None:
        self._stop, self._prompt = stop, prompt

    def __call__(self, input_ids: Tensor, scores: Tensor, **kwargs: Any) -> Any:
        new = input_ids.shape[1] - self._prompt
        ended = all(self._stop.ends(ids, new) for ids in input_ids.tolist())
        return torch.full((len(input_ids),), ended, device=input_ids.device)


def decode(
    model: LibraModel,
    study: Study,
    image: Tensor,
    decoding: Decoding,
    eos_token_ids: Sequence[int],
    pad_token_id: int,
) -> list[int]:
    """New token ids, the end token included.

    Args:
        image: the study's vectors [patches, hidden].
        eos_token_ids: ids that end an answer; `EndTokens` may bring a text that does so.

    Raises:
        NotFiniteError: the model's logits are no numbers.
    """
    embeds = model.embed(study.prompt_ids, image).unsqueeze(0)
    ids, watch = study.prompt_ids.unsqueeze(0).to(model.device), _Watch()
    # The ids go along with the vectors: the n-gram ban looks at the prompt's ids, the -200 too.
    with torch.random.fork_rng(devices=_devices(model), enabled=decoding.do_sample):
        if decoding.do_sample:
            torch.manual_seed(decoding.seed_of(study.key))
        answer = model.language_model.generate(
            input_ids=ids,
            inputs_embeds=embeds,
            attention_mask=torch.ones(embeds.shape[:2], dtype=torch.long, device=model.device),
            eos_token_id=list(eos_token_ids) or [-1],
            pad_token_id=pad_token_id,
            use_cache=True,
            **_settings(decoding),
            **_rules(decoding, watch, stop_of(eos_token_ids), ids.shape[1]),
        )
    if watch.broken is not None and watch.broken:
        raise NotFiniteError
    return _cut_after_end(answer[0, ids.shape[1] :].tolist(), eos_token_ids)


class _Watch(LogitsProcessor):
    """Remembers on the device whether scores were no numbers; they are passed on as zeros then."""

    broken: Tensor | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        broken = ~(scores.amax(dim=-1) < torch.inf)
        self.broken = broken.any() if self.broken is None else self.broken | broken.any()
        return scores.masked_fill(broken[:, None], 0.0)


def _settings(decoding: Decoding) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "num_beams": decoding.num_beams,
        "length_penalty": decoding.length_penalty,
        "no_repeat_ngram_size": 0,
        "max_new_tokens": decoding.max_new_tokens,
        "min_new_tokens": decoding.min_new_tokens or None,
        "do_sample": decoding.do_sample,
    }
    if decoding.do_sample:
        for name in ("temperature", "top_p", "top_k"):
            settings[name] = getattr(decoding, name)
    return settings


def _rules(decoding: Decoding, watch: _Watch, stop: Stop | None, prompt: int) -> dict[str, Any]:
    """What `generate` must be handed because it has no setting for it."""
    processors: list[LogitsProcessor] = [watch]
    if decoding.no_repeat_ngram_size:
        processors.append(NoRepeatedNGrams(decoding.no_repeat_ngram_size))
    rules: dict[str, Any] = {"logits_processor": processors}
    if stop is not None:
        rules["stopping_criteria"] = [_AtText(stop, prompt)]
    return rules


def _devices(model: LibraModel) -> list[torch.device]:
    return [model.device] if model.device.type == "cuda" else []


def _cut_after_end(ids: list[int], eos_token_ids: Sequence[int]) -> list[int]:
    """Ids up to and with the first end token; what follows is padding."""
    for place, one in enumerate(ids):
        if one in eos_token_ids:
            return ids[: place + 1]
    return ids
