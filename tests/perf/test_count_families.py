"""Counted operations of other towers, connectors and language models, against torch's counter."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from test_count import Counter
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

from libra_bench.core.errors import InputError
from libra_bench.model.configuration import parse_config
from libra_bench.model.libra import LibraModel
from libra_bench.perf import count, count_training
from libra_bench.perf.random_model import batch, studies
from libra_bench.perf.shape import ModelShape, shape_of
from libra_bench.perf.trainable import prepare

LANGUAGE = {
    "vocab_size": 500,
    "hidden_size": 96,
    "intermediate_size": 224,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
    "pad_token_id": 0,
}
TOWER = {
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "image_size": 112,
    "patch_size": 14,
}
MLP = {"intermediate_size": 160}


@dataclass
class Family:
    """A language model, a tower and a connector, by their names in transformers and Libra."""

    language: str
    tower: str
    connector: str
    select: str | int = -2
    more: dict[str, Any] | None = None
    tower_more: dict[str, Any] | None = None


FAMILIES = {
    "med-cxrgen": Family("llama", "clip_vision_model", "mlp2x_gelu", tower_more=MLP),
    "llava-med": Family("mistral", "clip_vision_model", "mlp2x_gelu", tower_more=MLP),
    "llava-rad": Family("llama", "vit", "mlp2x_gelu", tower_more=MLP),
    "maira-2": Family("llama", "dinov2", "mlp4x_gelu", select=-1, tower_more={"mlp_ratio": 2}),
    "qwen2-siglip": Family("qwen2", "siglip_vision_model", "linear", tower_more=MLP),
    "qwen3-tac": Family("qwen3", "dinov2", "TAC", "all", {"head_dim": 48}),
    "phi3-tac": Family("phi3", "dinov2", "TAC", "all"),
    "gemma-gated-tower": Family(
        "gemma", "dinov2", "TAC", "all", {"head_dim": 32}, {"use_swiglu_ffn": True}
    ),
}


def built(family: Family) -> tuple[LibraModel, ModelShape]:
    raw = {
        **LANGUAGE,
        **(family.more or {}),
        "model_type": f"libra_{family.language}",
        "mm_hidden_size": TOWER["hidden_size"],
        "mm_projector_type": family.connector,
        "mm_vision_select_layer": family.select,
        "mm_vision_tower": "random",
    }
    config = parse_config(raw, "test")
    settings = AutoConfig.for_model(family.tower, **TOWER, **(family.tower_more or {}))
    extra = {"add_pooling_layer": False} if family.tower == "vit" else {}
    torch.manual_seed(0)
    model = LibraModel(
        config,
        AutoModel.from_config(settings, **extra),
        AutoModelForCausalLM.from_config(config.language),
    )
    return model.eval(), shape_of(model.config, settings)


@pytest.mark.parametrize("name", FAMILIES)
def test_parts_agree_with_torch_to_one_percent(name: str) -> None:
    model, shape = built(FAMILIES[name])
    study = studies(shape, 2, prompt=30)[1]
    with torch.no_grad():
        with Counter() as counter:
            now = model.encode(study.current[None])
        assert count.encode(shape).flops == pytest.approx(counter.get_total_flops(), rel=0.01)
        with Counter() as counter:
            image = model.connect(now, model.encode(study.prior[None]))
        counted = count.connect(shape).flops + count.encode(shape).flops
        assert counted == pytest.approx(counter.get_total_flops(), rel=0.01)
        assert image.shape[1] == shape.image_tokens
        rows = model.embed(study.prompt_ids, image[0])[None]
        with Counter() as counter:
            model.language_model(inputs_embeds=rows, logits_to_keep=1)
        expected = count.prefill(shape, rows.shape[1]).flops
        assert expected == pytest.approx(counter.get_total_flops(), rel=0.01)
        with Counter() as counter:
            cache = model.language_model(inputs_embeds=rows, use_cache=True).past_key_values
        before = counter.get_total_flops()
        with Counter() as counter:
            model.language_model(input_ids=torch.tensor([[5]]), past_key_values=cache)
        step = count.decode_step(shape, studies=1, beams=1, prefix=rows.shape[1], suffix=1)
        assert step.flops == pytest.approx(counter.get_total_flops(), rel=0.01)
        assert before > 10 * step.flops


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("stage", count_training.STAGES)
@pytest.mark.parametrize("name", FAMILIES)
def test_a_training_step_agrees_with_torch(name: str, stage: str, recompute: bool) -> None:
    model, shape = built(FAMILIES[name])
    trained = prepare(model, stage, rank=8, recompute=recompute)
    samples = batch(shape, 2, prompt=20, answer=30)
    with Counter() as counter:
        loss = model(samples.input_ids, samples.labels, samples.current, samples.prior).loss
        loss.backward()
    step = count_training.step(shape, stage, batch=2, text=49, recompute=recompute, rank=8)
    assert step.hardware.flops == pytest.approx(counter.get_total_flops(), rel=0.01)
    if stage == "finetune":
        assert sum(one.numel() for one in trained) == shape.lora_parameters(8)


@pytest.mark.parametrize("name", FAMILIES)
def test_parameters_of_the_language_model_are_counted_exactly(name: str) -> None:
    model, shape = built(FAMILIES[name])
    matrices = [one for one in model.language_model.parameters() if one.ndim == 2]
    assert sum(one.numel() for one in matrices) == shape.language_parameters


def test_experts_are_refused() -> None:
    model, _ = built(FAMILIES["phi3-tac"])
    language = AutoConfig.for_model("mixtral", num_local_experts=4)
    with pytest.raises(InputError, match="mixtures of experts"):
        shape_of(replace(model.config, language=language), model.vision_tower.encoder.config)
