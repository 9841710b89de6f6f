"""The fast engine: the reference's token ids, without its repeated work.

Each distinct image is encoded once, where the published code encodes both images of every beam;
a missing prior is the current image, already encoded. The connector runs once a study.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

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
) -> list[list[int]]:
    """New token ids of each study, the end token included.

    Args:
        on_done: called with a study's place and its ids as soon as it is done.
    """
    answers = []
    for place, study in enumerate(studies):
        current = model.encode(study.current.unsqueeze(0))
        prior = None if study.prior is None else model.encode(study.prior.unsqueeze(0))
        image = model.connect(current, prior)[0]
        answers.append(decode(model, study, image, decoding, eos_token_ids, pad_token_id))
        if on_done is not None:
            on_done(place, answers[-1])
    return answers
