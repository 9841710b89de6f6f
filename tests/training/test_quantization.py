"""Adapters over a language model in 8 and 4 bits, as bitsandbytes computes on a CPU."""

import sys
from pathlib import Path

import pytest
import torch
from corpus import checkpoint, run
from safetensors.torch import load_file

from libra_bench.core.errors import MissingResourceError
from libra_bench.model.loading import load_model
from libra_bench.training.module import Lora, TrainedLibra
from libra_bench.training.quantization import Quantization, quantize
from libra_bench.training.throughput import Throughput

GIVEN = ("--max_steps", "4", "--learning_rate", "1e-3", "--lora_r", "4", "--lora_dropout", "0")


@pytest.mark.parametrize("bits", [8, 4])
def test_adapters_learn_over_a_quantised_model(data: Path, tmp_path: Path, bits: int) -> None:
    pytest.importorskip("bitsandbytes")
    model = checkpoint(tmp_path / "model")
    whole = run(data, tmp_path / "whole", *GIVEN, stage="finetune", model=str(model))
    output = tmp_path / "small"
    small = run(data, output, *GIVEN, "--bits", str(bits), stage="finetune", model=str(model))
    # Rounded weights answer nearly as exact ones, not exactly so.
    assert list(small.losses.values()) == pytest.approx(list(whole.losses.values()), abs=0.02)
    assert small.losses != whole.losses
    adapter = load_file(output / "adapter_model.safetensors")
    assert adapter.keys() == load_file(tmp_path / "whole/adapter_model.safetensors").keys()
    assert any(name.endswith("lora_B.weight") and one.any() for name, one in adapter.items())
    # The adapter belongs to the base as it is published, in full precision.
    assert load_model(output, model_base=model, device="cpu").model_id == "small"


def test_the_head_stays_and_work_is_counted_as_before(tmp_path: Path) -> None:
    layers = pytest.importorskip("bitsandbytes").nn
    folder = checkpoint(tmp_path / "model")
    counted = []
    for bits in (0, 4):
        model = load_model(folder, device="cpu").model
        if bits:
            quantize(model.language_model, Quantization(bits), torch.device("cpu"), torch.float32)
        module = TrainedLibra(
            model, connector=False, language=False, tower=False, lora=Lora(4, 8, 0.0)
        )
        counted.append(Throughput(module)._language)
    found = [one for one in module.modules() if isinstance(one, layers.Linear4bit)]
    assert len(found) == 2 * 7 and all(one.weight.dtype == torch.uint8 for one in found)
    assert type(model.language_model.get_output_embeddings()) is torch.nn.Linear
    assert counted[0] == counted[1]


def test_without_bitsandbytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(MissingResourceError, match=r"pip install 'libra-bench\[quantized\]'"):
        quantize(torch.nn.Linear(2, 2), Quantization(4), torch.device("cpu"), torch.float32)
