"""Tokens and FLOPs of a training step, counted by hand for a model of four matrices."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from libra_bench.training import throughput
from libra_bench.training.throughput import Throughput


def module(*, connector: bool = True, tower: bool = False) -> Any:
    language = torch.nn.Sequential(torch.nn.Embedding(5, 3), torch.nn.Linear(3, 4))
    linear, encoder = torch.nn.Linear(2, 3), torch.nn.Linear(2, 2)
    for part, learns in ((language, False), (linear, connector), (encoder, tower)):
        part.requires_grad_(learns)
    model = SimpleNamespace(
        vision_tower=SimpleNamespace(positions=9, encoder=encoder),
        language_model=language,
        connector=linear,
    )
    return SimpleNamespace(model=model, connector_learns=connector, tower_learns=tower)


# Two prompts whose images take 9 positions in the place of one id; three distinct images.
BATCH = {"lengths": torch.tensor([10, 14]), "pixels": torch.zeros(3, 1, 1, 1)}
TOKENS = 10 + 14 + 2 * 8


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the clock is two seconds after the one before."""
    ticks = iter(range(0, 100, 2))
    monkeypatch.setattr(throughput, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))


def test_a_step_by_hand() -> None:
    """A frozen language model that a gradient passes takes 4 operations a weight (12 weights), a
    learning connector 6 (6 weights), a frozen tower 2 (4 weights)."""
    speed = Throughput(module(), peak=1e4)
    speed.add(BATCH)
    flops = TOKENS * 4 * 12 + 2 * 9 * 6 * 6 + 3 * 9 * 2 * 4
    assert speed._flops == flops == 2784
    # Over 2 seconds, by three processes, of a device with 10,000 FLOP/s.
    assert speed.take(3) == {"tokens_per_second": 60.0, "mfu": 0.1392}
    assert speed.take(3) == {"tokens_per_second": 0.0, "mfu": 0.0}


def test_what_learns_decides_what_is_counted() -> None:
    speed = Throughput(module(connector=False, tower=True), peak=1e4)
    speed.add(BATCH)
    # The gradient passes the frozen connector down to the tower.
    assert speed._flops == TOKENS * 4 * 12 + 2 * 9 * 4 * 6 + 3 * 9 * 6 * 4
    frozen = Throughput(module(connector=False), peak=1e4)
    frozen.add(BATCH)
    assert frozen._flops == TOKENS * 4 * 12 + 2 * 9 * 2 * 6 + 3 * 9 * 2 * 4


def test_an_unknown_device_has_no_utilisation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throughput, "device_peak", lambda: None)
    speed = Throughput(module())
    speed.add(BATCH)
    assert speed.take(1) == {"tokens_per_second": 20.0}
