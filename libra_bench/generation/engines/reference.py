"""The reference engine: what the published code does, as slowly.

The yardstick for equality and for speed: one study at a time, both images encoded once per beam
(the published code does so for a missing prior as well), the prompt expanded before prefill,
`transformers`' own `generate`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from libra_bench.generation.protocols import Decoding
from libra_bench.generation.study import Study
from libra_bench.model.libra import LibraModel


@torch.inference_mode()
def generate(
    model: LibraModel,
    studies: Sequence[Study],
    decoding: Decoding,
    *,
    eos_token_ids: Sequence[int],
    pad_token_id: int,
    on_done: Callable[[int, list[int]], None] | None = None,
) -> list[list[int]]:
    """New token ids of each study, the end token included.

    Args:
        on_done: called with a study's place and its ids as soon as it is done.
    """
    answers = []
    for place, study in enumerate(studies):
        answers.append(_one(model, study, decoding, list(eos_token_ids), pad_token_id))
        if on_done is not None:
            on_done(place, answers[-1])
    return answers


def _one(
    model: LibraModel, study: Study, decoding: Decoding, eos: list[int], pad: int
) -> list[int]:
    copies = (decoding.num_beams, -1, -1, -1)
    current = study.current.unsqueeze(0).expand(*copies)
    prior = current if study.prior is None else study.prior.unsqueeze(0).expand(*copies)
    images = model.connect(model.encode(current), model.encode(prior))
    embeds = model.embed(study.prompt_ids, images[0]).unsqueeze(0)
    ids = study.prompt_ids.unsqueeze(0).to(model.device)
    settings = {
        "num_beams": decoding.num_beams,
        "length_penalty": decoding.length_penalty,
        "no_repeat_ngram_size": decoding.no_repeat_ngram_size,
        "max_new_tokens": decoding.max_new_tokens,
        "min_new_tokens": decoding.min_new_tokens or None,
        "do_sample": decoding.do_sample,
    }
    if decoding.do_sample:
        settings.update(
            temperature=decoding.temperature, top_p=decoding.top_p, top_k=decoding.top_k
        )
        torch.manual_seed(decoding.seed_of(study.key))
    # The ids go along with the vectors: the n-gram ban looks at the prompt's ids, the -200 too.
    answer = model.language_model.generate(
        input_ids=ids,
        inputs_embeds=embeds,
        attention_mask=torch.ones(embeds.shape[:2], dtype=torch.long, device=model.device),
        eos_token_id=eos,
        pad_token_id=pad,
        use_cache=True,
        **settings,
    )
    return cut_after_end(answer[0, ids.shape[1] :].tolist(), eos)


def cut_after_end(ids: list[int], eos: Sequence[int]) -> list[int]:
    """Ids up to and with the first end token; what follows is padding."""
    for place, one in enumerate(ids):
        if one in eos:
            return ids[: place + 1]
    return ids
