"""Configurations of language models, read as the published code's release read them."""

from pathlib import Path
from typing import Any

import pytest

from libra_bench.core.errors import InputError
from libra_bench.model.configuration import LibraConfig, parse_config

VISION = {"mm_vision_tower": "somebody/tower", "mm_hidden_size": 32}


def parsed(kind: str, **fields: object) -> LibraConfig:
    return parse_config({"model_type": kind, **VISION, **fields}, "config.json")


@pytest.mark.parametrize("kind", ["libra_qwen2", "libra_qwen3"])
def test_qwens_window_holds_for_every_layer_whether_or_not_it_says_so(kind: str) -> None:
    for used in (False, True):
        config: Any = parsed(
            kind, num_hidden_layers=3, use_sliding_window=used, sliding_window=40
        ).language
        assert config.sliding_window == 40
        assert config.layer_types == ["sliding_attention"] * 3
    unsaid: Any = parsed(kind, num_hidden_layers=2).language
    assert unsaid.sliding_window == 4096
    none: Any = parsed(kind, num_hidden_layers=2, sliding_window=None).language
    assert none.layer_types == ["full_attention"] * 2


def test_gemmas_activation_is_taken_at_its_word() -> None:
    named: Any = parsed("libra_gemma", hidden_act="gelu").language
    assert named.hidden_act == "gelu"
    unsaid: Any = parsed("libra_gemma").language
    assert unsaid.hidden_act == "gelu_pytorch_tanh"


def test_what_is_no_vision_language_checkpoint() -> None:
    with pytest.raises(InputError, match="no mm_vision_tower and no mm_hidden_size"):
        parse_config({"model_type": "libra"}, "config.json")
    with pytest.raises(InputError, match="no mm_vision_tower;"):
        parse_config({"model_type": "libra", **VISION, "mm_vision_tower": ""}, "config.json")
    with pytest.raises(InputError, match="model type 'bert'"):
        parse_config({"model_type": "bert", **VISION}, str(Path("config.json")))


@pytest.mark.parametrize(
    "name", ["mm_vision_tower", "mm_vision_tower_config", "mm_vision_tower_checkpoint"]
)
@pytest.mark.parametrize("value", [5, ["a"]])
def test_a_tower_is_named_by_text(name: str, value: object) -> None:
    with pytest.raises(InputError, match=rf"config\.json: {name} is .*, a name was expected"):
        parse_config({"model_type": "libra", **VISION, name: value}, "config.json")


@pytest.mark.parametrize("kind", ["llava", "llava_next"])
def test_transformers_own_layout_is_refused_by_name(kind: str) -> None:
    """Its language model stands under `text_config`, its tower under `vision_config`."""
    raw = {
        "model_type": kind,
        "text_config": {"model_type": "llama"},
        "vision_config": {"model_type": "dinov2"},
        "projector_n_layers": 4,
        "image_token_index": 32204,
    }
    with pytest.raises(
        InputError, match=f"'{kind}' in transformers' own layout.* microsoft/maira-2"
    ):
        parse_config(raw, "config.json")


def test_a_stretched_embedding_reaches_further_than_is_written_down() -> None:
    """MAIRA-2's three images take 4,107 positions of 4,096 stretched by 1.5."""
    stretched = {"rope_type": "linear", "factor": 1.5}
    assert parsed("libra", max_position_embeddings=4096).context_length == 4096
    longer = parsed("libra", max_position_embeddings=4096, rope_scaling=stretched)
    assert longer.context_length == 6144
