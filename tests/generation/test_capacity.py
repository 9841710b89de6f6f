"""How many studies decode together: asked for, on a CPU, and by a GPU's free memory."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from libra_bench.core.errors import InputError
from libra_bench.generation import capacity
from libra_bench.generation.protocols import Decoding

DECODING = Decoding("test", num_beams=2, max_new_tokens=10)


def model(device: str = "cuda", **config: Any) -> Any:
    language = SimpleNamespace(
        num_hidden_layers=2, num_attention_heads=4, hidden_size=16, num_key_value_heads=2, **config
    )
    return SimpleNamespace(
        device=torch.device(device),
        dtype=torch.float16,
        config=SimpleNamespace(language=language),
    )


def test_bytes_of_a_study() -> None:
    """Keys and values, 2 layers, 2 heads of 4, 2 bytes: 64 a token. 9 of the image, 256 of a
    prompt, half as many again as 10 and 2 * 32 of the beams: 376 tokens."""
    assert capacity.bytes_per_study(model(), DECODING, 9) == 64 * 376
    assert capacity.bytes_per_study(model(head_dim=8), DECODING, 9) == 2 * 64 * 376


@pytest.mark.parametrize(
    ("free", "expected"),
    # Four fifths of the free memory: 300,800 hold ten studies of 24,064; at most 64, at least one.
    [(300_800, 10), (300_799, 9), (10**9, 64), (10, 1)],
)
def test_a_gpu_takes_what_its_memory_holds(
    monkeypatch: pytest.MonkeyPatch, free: int, expected: int
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 0))
    assert capacity.side_by_side("auto", model(), DECODING, 9) == expected


def test_a_cpu_and_a_number() -> None:
    assert capacity.side_by_side("auto", model("cpu"), DECODING, 9) == 8
    assert capacity.side_by_side("3", model(), DECODING, 9) == 3
    for wrong in ("0", "-1", "2.5", "many", "²"):
        with pytest.raises(InputError, match="a positive number or `auto`"):
            capacity.check(wrong)
