"""Which language models the shared prefix can serve, and for which studies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from libra_bench.generation.protocols import Decoding
from libra_bench.generation.study import Study
from libra_bench.model.libra import LibraModel

WINDOWED = ("mistral", "phi3")
"""Models that use `sliding_window` whenever it is set, without naming it layer by layer."""


def cannot_serve(model: LibraModel, studies: Sequence[Study], decoding: Decoding) -> str | None:
    """Why a language model cannot attend to a shared prefix; None where it can.

    A window that no study outgrows, prompt and answer together, is no obstacle. Neither is a
    rotary embedding that changes with the length, where it does not change on the way.
    """
    config: Any = model.config.language
    name = config.model_type
    if getattr(config, "attn_logit_softcapping", None):
        return f"{name} caps its attention scores"
    lengths = [model.length_of(study.prompt_ids) for study in studies] or [0]
    longest = max(lengths) + decoding.max_new_tokens
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if strange := kinds - {"full_attention", "sliding_attention"}:
        return f"{name} has layers of {', '.join(sorted(strange))}"
    window = getattr(config, "sliding_window", None)
    uses_window = "sliding_attention" in kinds or name in WINDOWED
    if uses_window and window is not None and window < longest:
        return f"{name} attends within a window of {window}"
    rope = getattr(config, "rope_parameters", None) or {}
    kind = rope.get("rope_type")
    # All studies of a step share one table of frequencies.
    turn = None
    if kind == "dynamic" and config.max_position_embeddings < longest:
        turn = config.max_position_embeddings
    if kind == "longrope" and min(lengths) <= rope["original_max_position_embeddings"] < longest:
        turn = rope["original_max_position_embeddings"]
    return None if turn is None else f"{name} changes its rotary embedding beyond {turn} positions"
