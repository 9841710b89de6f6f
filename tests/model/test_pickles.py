"""A file of weights is data: what a pickle would run is not run, and nobody is told to run it."""

import os
import pickle
from pathlib import Path

import pytest
import torch

from libra_bench.core.errors import InputError
from libra_bench.metrics.neural import load_state
from libra_bench.model.weights import read_weights


@pytest.mark.parametrize("written", [pickle.dump, torch.save])
def test_a_pickle_that_would_run_code(tmp_path: Path, written: object) -> None:
    class Evil:
        def __reduce__(self) -> object:
            return os.system, (f"touch {tmp_path / 'ran'}",)

    path = tmp_path / "pytorch_model.bin"
    with path.open("wb") as stream:
        written({"weight": Evil()}, stream)  # type: ignore[operator]
    for read in (read_weights, load_state):
        with pytest.raises(InputError, match="anything else is never run") as caught:
            read(path)
        assert "weights_only" not in str(caught.value)
    assert not (tmp_path / "ran").exists()
