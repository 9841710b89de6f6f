"""Connectors: from the tower's features to vectors of the language model."""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn
from torch.nn import functional

from libra_bench.core.errors import InputError

DROPOUT = 0.1
FEWEST = 4
"""Layers that TAC halves twice."""
MLP = re.compile(r"mlp(\d+)x_gelu")


class SqueezeExcitation(nn.Module):
    """Channel gates from channel means (Hu et al., 2018), with GELU inside; [n, c, h, w]."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        means = features.mean(dim=(2, 3), keepdim=True)
        return features * torch.sigmoid(self.fc2(functional.gelu(self.fc1(means))))


class BiasedAttention(nn.Module):
    """`nn.MultiheadAttention(width, heads, add_bias_kv=True, batch_first=True)`, by its names.

    A learned key and value stand behind every sequence. The weights are never materialised:
    1,369 patches and 32 heads would be 240 MB a study in float32.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise InputError(f"{heads} attention heads do not divide a connector of width {width}")
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.bias_k = nn.Parameter(torch.empty(1, 1, width))
        self.bias_v = nn.Parameter(torch.empty(1, 1, width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.xavier_normal_(self.bias_k)
        nn.init.xavier_normal_(self.bias_v)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, queries: Tensor, others: Tensor) -> Tensor:
        """Attend from `queries` [n, q, width] to `others` [n, k, width]."""
        weights, biases = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
        query = functional.linear(queries, weights[0], biases[0])
        key = functional.linear(others, weights[1], biases[1])
        value = functional.linear(others, weights[2], biases[2])
        count = len(others)
        key = torch.cat([key, self.bias_k.expand(count, -1, -1)], dim=1)
        value = torch.cat([value, self.bias_v.expand(count, -1, -1)], dim=1)
        attended = functional.scaled_dot_product_attention(
            self._split(query), self._split(key), self._split(value)
        )
        return self.out_proj(attended.transpose(1, 2).flatten(2))

    def _split(self, sequence: Tensor) -> Tensor:
        return sequence.unflatten(2, (self.heads, -1)).transpose(1, 2)


class TemporalAlignmentConnector(nn.Module):
    """TAC (Zhang et al., 2025): all layers of two images, aligned in time. Names as published.

    Args:
        layers: hidden layers of the tower.
        width: of the tower.
        hidden: of the language model.
        heads: of the language model; the connector's attention has as many.
    """

    def __init__(self, layers: int, width: int, hidden: int, heads: int) -> None:
        super().__init__()
        half, quarter = layers // 2, layers // 4
        # Layerwise feature extractor: the layers are channels of a patches × width picture.
        self.LFE = nn.Sequential(
            SqueezeExcitation(layers, half),
            nn.Conv2d(layers, half, 1, bias=False),
            SqueezeExcitation(half, quarter),
            nn.Conv2d(half, quarter, 1, bias=False),
            SqueezeExcitation(quarter, 1),
            nn.Conv2d(quarter, 1, 1, bias=False),
        )
        self.LFE_prior_bias = nn.Parameter(torch.tensor(0.0))
        self.cur_self_attention = BiasedAttention(width, heads)
        self.prior_self_attention = BiasedAttention(width, heads)
        self.cros_attention = BiasedAttention(width, heads)
        self.norm1, self.norm2, self.norm3, self.norm4 = (nn.LayerNorm(width) for _ in range(4))
        self.mlp_attn = nn.Sequential(
            nn.Linear(width, width),
            nn.GELU(),
            nn.Dropout(DROPOUT),
            nn.Linear(width, width),
            nn.Dropout(DROPOUT),
        )
        self.mlp_final = nn.Sequential(
            nn.Linear(width, hidden),
            *(layer for _ in range(3) for layer in (nn.GELU(), nn.Linear(hidden, hidden))),
        )
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, current: Tensor, prior: Tensor | None) -> Tensor:
        """Both [n, layers, patches, width]; [n, patches, hidden].

        Without a prior the current image stands in for it, and is not extracted twice.
        """
        now = self.LFE(current).squeeze(1)
        before = now if prior is None else self.LFE(prior).squeeze(1)
        shifted = before + self._likeness(now, before) * self.LFE_prior_bias
        aligned = self.norm1(now + self.dropout(self.cur_self_attention(now, now)))
        earlier = self.norm2(shifted + self.dropout(self.prior_self_attention(shifted, shifted)))
        merged = self.norm3(aligned + self.dropout(self.cros_attention(aligned, earlier)))
        return self.mlp_final(self.norm4(now + self.mlp_attn(merged)))

    @staticmethod
    def _likeness(now: Tensor, before: Tensor) -> Tensor:
        """((cosine + 1) / 2)^8 of the flattened features, [n, 1, 1]."""
        first = functional.normalize(now.flatten(1), dim=-1, eps=0.0)
        second = functional.normalize(before.flatten(1), dim=-1, eps=0.0)
        cosine = functional.cosine_similarity(first, second, dim=-1, eps=1e-6)
        return ((cosine + 1) / 2).pow(8)[:, None, None]


class Projector(nn.Module):
    """A linear map or an MLP over the current image's patches; the prior is not looked at."""

    def __init__(self, projector: nn.Module) -> None:
        super().__init__()
        self.projector = projector

    def forward(self, current: Tensor, prior: Tensor | None) -> Tensor:
        """[n, 1, patches, width]; [n, patches, hidden]."""
        return self.projector(current.squeeze(1))


def build_connector(kind: str, layers: int, width: int, hidden: int, heads: int) -> nn.Module:
    """The connector `kind`: `TAC`, `linear` or `mlpNx_gelu`.

    Raises:
        InputError: another kind, or another number of layers than the kind reads.
    """
    if kind == "TAC":
        if layers < FEWEST:
            raise InputError(
                f"the connector TAC reads {FEWEST} or more layers of the vision tower, "
                f"mm_vision_select_layer gives {layers}"
            )
        return TemporalAlignmentConnector(layers, width, hidden, heads)
    if layers > 1 and (kind == "linear" or MLP.fullmatch(kind)):
        raise InputError(
            f"the connector {kind} reads one layer of the vision tower, "
            f"mm_vision_select_layer gives {layers}"
        )
    if kind == "linear":
        return Projector(nn.Linear(width, hidden))
    form = MLP.fullmatch(kind)
    if form and int(form[1]) > 0:
        rest = [layer for _ in range(int(form[1]) - 1) for layer in (nn.GELU(), _square(hidden))]
        return Projector(nn.Sequential(nn.Linear(width, hidden), *rest))
    raise InputError(f"unknown connector {kind!r}. Known: TAC, linear, mlpNx_gelu")


def _square(width: int) -> nn.Linear:
    return nn.Linear(width, width)
