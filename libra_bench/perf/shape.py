"""The sizes that decide what a model costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from libra_bench.core.errors import InputError
from libra_bench.core.names import unknown_name
from libra_bench.perf.hardware import table

if TYPE_CHECKING:
    from libra_bench.model.configuration import LibraConfig

BYTES = 2
"""Of a number in bfloat16."""


@dataclass(frozen=True)
class ModelShape:
    """Vision tower, connector and language model in numbers.

    Attributes:
        connector: `TAC`, `linear` or `mlpNx_gelu`.
        connector_layers: hidden states of the tower that the connector reads.
        skipped: positions of the tower that the connector does not read (the class token).
        tied_head: the head's weights are the embedding's.
        fused: q, k and v are one linear, gate and up another, as in Phi-3.
        gated_tower: the tower's MLP has a gate (SwiGLU); `tower_mlp` is its inner width.
        pooling_head: an attention over all positions at the tower's end, as in SigLIP; it runs,
            though nobody reads it.
    """

    tower_width: int
    tower_layers: int
    tower_heads: int
    tower_mlp: int
    image: int
    patch: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    key_value_heads: int
    head_width: int
    vocabulary: int
    class_tokens: int = 1
    skipped: int = 1
    connector: str = "TAC"
    connector_layers: int = 12
    tied_head: bool = False
    fused: bool = False
    gated_tower: bool = False
    pooling_head: bool = False

    @property
    def patches(self) -> int:
        """Patches of an image."""
        return (self.image // self.patch) ** 2

    @property
    def tower_tokens(self) -> int:
        """Positions in the tower."""
        return self.patches + self.class_tokens

    @property
    def image_tokens(self) -> int:
        """Vectors that an image becomes in the prompt."""
        return self.tower_tokens - self.skipped

    @property
    def layer_linears(self) -> list[tuple[int, int]]:
        """(in, out) of a decoder layer's linears: q, k, v, o, gate, up, down; fused: four.

        Down is the last, and the first `readers` look at the layer's input.
        """
        own, shared = self.heads * self.head_width, self.key_value_heads * self.head_width
        hidden, wide = self.hidden, self.intermediate
        if self.fused:
            return [(hidden, own + 2 * shared), (own, hidden), (hidden, 2 * wide), (wide, hidden)]
        return [
            (hidden, own),
            (hidden, shared),
            (hidden, shared),
            (own, hidden),
            (hidden, wide),
            (hidden, wide),
            (wide, hidden),
        ]

    @property
    def readers(self) -> int:
        """How many linears look at a decoder layer's input."""
        return 1 if self.fused else 3

    @property
    def layer_parameters(self) -> int:
        """Weights of a decoder layer's linears."""
        return sum(width * out for width, out in self.layer_linears)

    @property
    def decoder_parameters(self) -> int:
        """Weights that a decode step reads: all layers and the head."""
        return self.layers * self.layer_parameters + self.hidden * self.vocabulary

    @property
    def language_parameters(self) -> int:
        """Weights of the language model, norms left out."""
        tables = 1 if self.tied_head else 2
        return self.layers * self.layer_parameters + tables * self.hidden * self.vocabulary

    @property
    def tower_parameters(self) -> int:
        """Weights of the tower's matrices; a pooling head has a block's as well."""
        blocks = self.tower_layers + self.pooling_head
        return blocks * self.tower_block + 3 * self.patch**2 * self.tower_width

    @property
    def tower_block(self) -> int:
        """Weights of one of the tower's layers."""
        linears = 3 if self.gated_tower else 2
        return 4 * self.tower_width**2 + linears * self.tower_width * self.tower_mlp

    @property
    def connector_parameters(self) -> int:
        """Weights of the connector's matrices."""
        width, hidden = self.tower_width, self.hidden
        if self.connector == "TAC":
            return 3 * 4 * width**2 + 2 * width**2 + width * hidden + 3 * hidden**2
        return width * hidden + (self.connector_linears - 1) * hidden**2

    @property
    def connector_linears(self) -> int:
        """Linears of a connector that is no TAC."""
        return (
            1 if self.connector == "linear" else int(self.connector[3 : self.connector.index("x")])
        )

    @property
    def parameters(self) -> int:
        """Weights of the whole model, norms and biases left out."""
        return self.language_parameters + self.tower_parameters + self.connector_parameters

    def lora_parameters(self, rank: int) -> int:
        """Weights of rank-`rank` adapters on every linear of every decoder layer."""
        return self.layers * rank * sum(width + out for width, out in self.layer_linears)

    @property
    def key_value_bytes(self) -> int:
        """Keys and values of one token, in all layers."""
        return 2 * self.layers * self.key_value_heads * self.head_width * BYTES


def names() -> list[str]:
    """Names of the packaged shapes."""
    return list(table("shapes.json"))


def named(name: str) -> ModelShape:
    """A packaged shape: `libra-7b`, `libra-3b`, `cpu` (for two cores) or `micro` (for tests).

    Raises:
        InputError: an unknown name; the nearest is offered.
    """
    shapes = table("shapes.json")
    if name not in shapes:
        raise unknown_name("shape", name, shapes)
    return ModelShape(**shapes[name])


def shape_of(config: LibraConfig, tower: Any) -> ModelShape:
    """The shape of a checkpoint.

    Args:
        tower: the vision encoder's configuration, as transformers knows it.

    Raises:
        InputError: a language model whose operations are not counted here.
    """
    language: Any = config.language
    if getattr(language, "num_experts", None) or getattr(language, "num_local_experts", None):
        raise InputError(f"FLOPs are not counted for mixtures of experts ({language.model_type})")
    heads = language.num_attention_heads
    siglip = "siglip" in tower.model_type
    gated = bool(getattr(tower, "use_swiglu_ffn", False))
    return ModelShape(
        tower_width=tower.hidden_size,
        tower_layers=tower.num_hidden_layers,
        tower_heads=tower.num_attention_heads,
        tower_mlp=_tower_mlp(tower, gated),
        image=tower.image_size,
        patch=tower.patch_size,
        class_tokens=0 if siglip else 1,
        skipped=1 if config.select_feature == "patch" else 0,
        connector=config.projector_type,
        connector_layers=tower.num_hidden_layers if config.select_layer == "all" else 1,
        hidden=language.hidden_size,
        intermediate=language.intermediate_size,
        layers=language.num_hidden_layers,
        heads=heads,
        key_value_heads=getattr(language, "num_key_value_heads", None) or heads,
        head_width=getattr(language, "head_dim", None) or language.hidden_size // heads,
        vocabulary=language.vocab_size,
        tied_head=bool(getattr(language, "tie_word_embeddings", False)),
        fused=language.model_type in FUSED,
        gated_tower=gated,
        pooling_head=siglip and bool(getattr(tower, "vision_use_head", True)),
    )


FUSED = ("phi3",)
"""Language models with one linear for q, k and v, and one for gate and up."""


def _tower_mlp(tower: Any, gated: bool) -> int:
    """Inner width of the tower's MLP; DINOv2 names a ratio, a gated one keeps two thirds of it."""
    named = getattr(tower, "intermediate_size", None)
    wide = named or int(tower.hidden_size * tower.mlp_ratio)
    return (int(wide * 2 / 3) + 7) // 8 * 8 if gated and not named else wide
