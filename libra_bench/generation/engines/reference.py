"""The reference engine: what the published code does, as slowly.

The yardstick for equality and for speed: one study at a time, both images encoded once per beam
(the published code does so for a missing prior as well), the prompt expanded before prefill,
`transformers`' own `generate`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from libra_bench.core.errors import InputError
from libra_bench.generation.decode import decode
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
    side_by_side: int = 1,
) -> list[list[int]]:
    """New token ids of each study, the end token included.

    Args:
        on_done: called with a study's place and its ids as soon as it is done.
        side_by_side: only 1; the published code runs study by study.

    Raises:
        InputError: another number of studies side by side.
    """
    if side_by_side != 1:
        raise InputError("the reference engine runs one study at a time")
    answers = []
    for place, study in enumerate(studies):
        prior = study.prior
        if prior is None and not model.config.is_own_form:
            prior = study.current
        copies = (decoding.num_beams, -1, -1, -1)
        current, prior, lateral = (
            None if one is None else one.unsqueeze(0).expand(*copies)
            for one in (study.current, prior, study.lateral)
        )
        assert current is not None
        images = model.look(current, prior, lateral)
        answers.append(decode(model, study, images[0], decoding, eos_token_ids, pad_token_id))
        if on_done is not None:
            on_done(place, answers[-1])
    return answers
