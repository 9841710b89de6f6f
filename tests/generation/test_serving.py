"""Which language models, and which studies, may share a prefix."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from libra_bench.generation.engines.serving import cannot_serve
from libra_bench.generation.protocols import Decoding
from libra_bench.generation.study import Study

# A prompt of 5 ids, one of which becomes 10 positions: 14. With 6 new tokens, 20.
STUDY = Study("one", torch.tensor([1, 2, -200, 3, 4]), torch.zeros(3, 2, 2), None)
DECODING = Decoding("test", max_new_tokens=6)


def said(*studies: Study, **config: Any) -> str | None:
    language = SimpleNamespace(**({"model_type": "llama", "max_position_embeddings": 99} | config))
    model = SimpleNamespace(
        config=SimpleNamespace(language=language), length_of=lambda ids: len(ids) - 1 + 10
    )
    return cannot_serve(model, studies or [STUDY], DECODING)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["mistral", "phi3"])
def test_a_window_that_is_outgrown(name: str) -> None:
    assert said(model_type=name, sliding_window=19) == f"{name} attends within a window of 19"
    assert said(model_type=name, sliding_window=20) is None
    assert said(model_type=name, sliding_window=None) is None


def test_a_window_that_no_layer_uses() -> None:
    assert said(model_type="qwen2", sliding_window=4) is None
    assert said(model_type="qwen2", sliding_window=4, layer_types=["full_attention"]) is None
    kinds = ["full_attention", "sliding_attention"]
    assert "window of 4" in str(said(model_type="qwen2", sliding_window=4, layer_types=kinds))


def test_layers_and_scores_of_another_kind() -> None:
    assert said(layer_types=["linear_attention"]) == "llama has layers of linear_attention"
    assert said(attn_logit_softcapping=50.0) == "llama caps its attention scores"


def test_a_rotary_embedding_that_changes_on_the_way() -> None:
    dynamic = {"rope_type": "dynamic"}
    changed = "llama changes its rotary embedding beyond 19 positions"
    assert said(rope_parameters=dynamic, max_position_embeddings=19) == changed
    assert said(rope_parameters=dynamic, max_position_embeddings=20) is None
    assert said(rope_parameters={"rope_type": "linear"}, max_position_embeddings=5) is None

    def long(original: int, *studies: Study) -> str | None:
        rope = {"rope_type": "longrope", "original_max_position_embeddings": original}
        return said(*studies, rope_parameters=rope)

    # All begin beyond the turn, or all end before it: nothing changes on the way.
    assert long(13) is None and long(20) is None
    assert long(14) == "llama changes its rotary embedding beyond 14 positions"
    assert long(19) is not None
    # The shortest prompt, 10 positions, decides where the table begins.
    short = Study("two", torch.tensor([-200]), torch.zeros(3, 2, 2), None)
    assert long(13, STUDY, short) is not None


def test_the_longest_study_decides() -> None:
    longer = Study("two", torch.tensor([1] * 7 + [-200]), torch.zeros(3, 2, 2), None)
    assert "window of 22" in str(said(STUDY, longer, model_type="phi3", sliding_window=22))
    assert said(STUDY, longer, model_type="phi3", sliding_window=23) is None
