"""One decode step for all places: run as it is, or replayed as a CUDA graph."""

from __future__ import annotations

import torch
from torch import Tensor

from libra_bench.generation.engines.shared_prefix import Places, shared_prefix_attention
from libra_bench.model.libra import LibraModel

WARM_UP = 2
"""Runs before a graph is captured: libraries set themselves up in the first."""


class Step:
    """The language model's step from the last tokens to the next logits.

    Every tensor that it reads keeps its shape and address from step to step, so that on a GPU
    thousands of launches become one. A graph is captured anew when `places` had to grow.

    Args:
        capture: whether to capture; without it the same step runs launch by launch.
    """

    def __init__(self, model: LibraModel, places: Places, *, capture: bool) -> None:
        self._model, self._places, self._capture = model.language_model, places, capture
        self._tokens = torch.empty(0, dtype=torch.long)
        self._logits = torch.empty(0)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._captured = -1

    def __call__(self, tokens: Tensor) -> Tensor:
        """Logits [places, beams, vocabulary] after the tokens [places, beams]."""
        places = self._places
        places.begin()
        if not self._capture:
            self._tokens = tokens.reshape(-1, 1)
            return self._forward()
        if self._captured != places.grown:
            self._tokens = tokens.reshape(-1, 1).clone()
            self._record()
        self._tokens.copy_(tokens.reshape(-1, 1))
        assert self._graph is not None
        self._graph.replay()
        return self._logits

    def _forward(self) -> Tensor:
        with shared_prefix_attention(self._model.config):
            # Past the model's hooks: whoever watches its calls cannot watch a captured one.
            answer = self._model.forward(
                input_ids=self._tokens,
                position_ids=self._places.positions,
                past_key_values=self._places,
                use_cache=True,
                places=self._places,
            )
        logits: Tensor = answer.logits[:, -1]
        return logits.unflatten(0, (len(self._places), self._places.beams))

    def _record(self) -> None:
        """Capture the step; what the runs before it write, the replay writes again."""
        self._graph = None  # Its memory may serve the next one.
        here, side = torch.cuda.current_stream(), torch.cuda.Stream()
        side.wait_stream(here)
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                self._forward()
        here.wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._logits = self._forward()
        self._captured = self._places.grown
