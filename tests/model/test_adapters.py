"""Adapters are merged as PEFT merges them, whatever they began with; others are refused by name."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor

from libra_bench.core.errors import InputError
from libra_bench.model import zoo
from libra_bench.model.loading import load_model

TINY = Path(zoo.__file__).parent / "libra_tiny"
TARGETS = ["q_proj", "v_proj", "down_proj"]


def trained(folder: Path, **settings: Any) -> Path:
    """An adapter over libra-tiny's language model, as PEFT saves it, whose weights do something."""
    torch.manual_seed(3)
    language = load_model(TINY, device="cpu").model.language_model
    config = LoraConfig(
        r=4, lora_alpha=8, target_modules=TARGETS, task_type="CAUSAL_LM", **settings
    )
    adapted = get_peft_model(language, config)
    with torch.no_grad():
        for name, one in adapted.named_parameters():
            if "lora_" in name:
                one.normal_(0, 0.05)
    adapted.save_pretrained(folder, save_embedding_layers=False)
    shutil.copy(TINY / "config.json", folder)
    return folder


def by_peft(folder: Path) -> dict[str, Tensor]:
    language = load_model(TINY, device="cpu").model.language_model
    torch.manual_seed(0)
    merged: Any = PeftModel.from_pretrained(language, str(folder)).merge_and_unload()
    return {name: one.clone() for name, one in merged.state_dict().items()}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"use_rslora": True},
        {"use_dora": True},
        {"init_lora_weights": "pissa"},
        {"init_lora_weights": "pissa_niter_4"},
        {"init_lora_weights": "olora"},
        # Both of these fit `layers.1.self_attn.q_proj`: which goes first is PEFT's own rule.
        {
            "rank_pattern": {"q_proj": 2},
            "alpha_pattern": {"q_proj": 1, "layers.1.self_attn.q_proj": 32},
        },
        {"alpha_pattern": {"layers.1.self_attn.q_proj": 32, "q_proj": 1}},
    ],
    ids=str,
)
def test_merged_as_peft_merges(tmp_path: Path, settings: dict[str, Any]) -> None:
    folder = trained(tmp_path / "adapter", **settings)
    expected = by_peft(folder)
    loaded = load_model(folder, model_base=TINY, device="cpu").model.language_model.state_dict()
    plain = load_model(TINY, device="cpu").model.language_model.state_dict()
    assert set(loaded) == set(expected)
    for name, one in expected.items():
        torch.testing.assert_close(loaded[name], one, atol=1e-6, rtol=0)
    changed = [name for name in plain if not plain[name].equal(loaded[name])]
    assert len(changed) >= 3 * len(TARGETS)


def test_adapters_that_do_not_fit(tmp_path: Path) -> None:
    folder = trained(tmp_path / "adapter")
    weights, settings = folder / "adapter_model.safetensors", folder / "adapter_config.json"
    whole = {name: one.clone() for name, one in load_file(weights).items()}
    raw = json.loads(settings.read_text())

    def refused(message: str) -> None:
        with pytest.raises(InputError, match=message):
            load_model(folder, model_base=TINY, device="cpu")

    first, *others = sorted(whole)
    save_file({name: whole[name] for name in others}, weights)
    refused(f"missing: {first}")
    save_file(
        {**whole, "base_model.model.model.layers.9.q_proj.lora_A.weight": whole[first].clone()},
        weights,
    )
    refused("does not fit the base: .*layers.9")
    save_file({**whole, first: torch.full_like(whole[first], float("nan"))}, weights)
    refused(r"not finite")
    save_file(whole, weights)
    settings.write_text(json.dumps({**raw, "peft_type": "IA3"}))
    refused("only LoRA is merged, not 'IA3'")
    settings.write_text(json.dumps({**raw, "r": "many"}))
    refused("its adapter cannot be merged")
    settings.write_text("[]")
    refused("only LoRA is merged")
    with pytest.raises(InputError, match="an adapter; name the model it belongs to"):
        load_model(folder, device="cpu")
