"""FLOPs, bytes and memory of a training step, from a model's shape.

With a frozen language model the backward pass makes gradients of inputs but not of weights: about
4 FLOPs per parameter and token, not 6. Attention's backward is twice its forward. Recomputing the
decoder layers adds one more forward of them: it counts for HFU (what the device did), never for
MFU (what the model needs; Chowdhery et al., 2022, appendix B).
"""

from __future__ import annotations

from dataclasses import dataclass

from libra_bench.core.names import unknown_name
from libra_bench.perf import count
from libra_bench.perf.count import Cost
from libra_bench.perf.shape import BYTES, ModelShape

STAGES = ("align", "finetune")
"""Stage 1 trains the connector, stage 2 LoRA on the language model's linears."""
LORA_RANK = 128
STATE_BYTES = 16
"""Of a trained weight in mixed precision: float32 weight and gradient, two moments of Adam."""
ADAM_BYTES = 28
"""Moved for a trained weight: read weight, gradient, two moments; write weight and moments."""


@dataclass(frozen=True)
class TrainingStep:
    """One optimizer step by parts.

    Attributes:
        encode: the tower, forward only.
        connect: the connector, and its backward pass where it is trained.
        forward, backward: the language model with its head and adapters.
        recompute: operations done again instead of keeping their results.
        activations: bytes of activations and their gradients; no operations are counted for them.
        optimizer: Adam's pass over weights, gradients and moments.
        launches: layers launched from Python, by part.
    """

    encode: Cost
    connect: Cost
    forward: Cost
    backward: Cost
    recompute: Cost
    activations: Cost
    optimizer: Cost
    launches: dict[str, float]

    def parts(self) -> dict[str, Cost]:
        """By name, in the order of work; what is not done is left out."""
        named = {
            "encode": self.encode,
            "connect": self.connect,
            "forward": self.forward,
            "backward": self.backward,
            "recompute": self.recompute,
            "activations": self.activations,
            "optimizer": self.optimizer,
        }
        return {name: cost for name, cost in named.items() if cost.flops or cost.bytes}

    @property
    def model(self) -> Cost:
        """What the model needs, forward and backward."""
        return self.encode + self.connect + self.forward + self.backward + self.activations

    @property
    def hardware(self) -> Cost:
        """What the device does, forward and backward."""
        return self.model + self.recompute


def step(
    shape: ModelShape,
    stage: str,
    *,
    batch: int,
    text: int,
    recompute: bool,
    micro_batch: int = 1,
    rank: int = LORA_RANK,
    prior: bool = True,
) -> TrainingStep:
    """One step over `batch` samples.

    Args:
        stage: `align` or `finetune`.
        text: positions of prompt and answer without the image.
        micro_batch: samples at a time; all weights are read for each of these.
        prior: whether the second image is another one; upstream encodes two in any case.

    Raises:
        InputError: another stage.
    """
    check_stage(stage)
    tokens = text + shape.image_tokens
    images = 2 if prior else 1
    connect = count.connect(shape, prior=prior).flops
    # Linears go back once, for their inputs; attention twice: queries, keys, values, weights.
    forward = count.decoder(shape, tokens) + 2 * tokens * shape.hidden * shape.vocabulary
    backward = forward + shape.layers * count.attention(shape, tokens, tokens)
    if stage == "align":
        # The gate's first layer looks at features that need no gradient.
        connect = 3 * connect - _first_gate(shape) * images
        trained = shape.connector_parameters
    else:
        # Adapters go forward, and back for A and B and for their inputs.
        adapters = _lora_forward(shape, tokens, rank)
        forward += adapters
        backward += 2 * adapters - _first_inputs(shape, tokens, rank)
        trained = shape.lora_parameters(rank)
    passes = -(-batch // micro_batch)
    weights = passes * BYTES * shape.decoder_parameters
    again = _recomputed(shape, stage, tokens, rank) if recompute else 0
    return TrainingStep(
        encode=Cost(batch * count.encode(shape, images).flops, passes * count.encode(shape).bytes),
        connect=Cost(batch * connect, passes * BYTES * shape.connector_parameters),
        forward=Cost(batch * forward, weights),
        backward=Cost(batch * backward, weights),
        recompute=Cost(batch * again, weights if recompute else 0),
        activations=Cost(0, batch * _activation_bytes(shape, stage, tokens, rank, recompute)),
        optimizer=Cost(0, ADAM_BYTES * trained),
        launches={
            "encode": passes * images * shape.tower_layers,
            "forward": passes * shape.layers,
            "backward": passes * 2 * shape.layers,
            "recompute": passes * shape.layers if recompute else 0,
        },
    )


def _recomputed(shape: ModelShape, stage: str, tokens: int, rank: int) -> int:
    """A layer is done again as far as something needs it; its last product's result nobody does."""
    decoder = count.decoder(shape, tokens)
    width, out = shape.layer_linears[-1]
    if stage == "align":
        return decoder - shape.layers * 2 * tokens * width * out
    last = shape.layers * 2 * tokens * rank * out
    # Checkpointing in transformers asks for the first layer's gradients as well.
    first = _first_inputs(shape, tokens, rank)
    return decoder + _lora_forward(shape, tokens, rank) - last + first


def _activation_bytes(
    shape: ModelShape, stage: str, tokens: int, rank: int, recompute: bool
) -> float:
    """Activations of one sample across the bus, an estimate from what a layer keeps.

    Each is written and read going forward, read again going back, and its gradient written and
    read; recomputing writes and reads it once more.
    """
    passes = 7 if recompute else 5
    inside = shape.layers * _kept_inside(shape, stage, rank)
    return tokens * (passes * inside + 2 * _logit_bytes(shape))


def _kept_inside(shape: ModelShape, stage: str, rank: int) -> int:
    """Bytes that a decoder layer keeps for its backward pass, per position."""
    own, shared = shape.heads * shape.head_width, shape.key_value_heads * shape.head_width
    inside = BYTES * (6 * shape.hidden + 2 * own + 2 * shared + 3 * shape.intermediate)
    if stage == "finetune":
        # Each adapter keeps its dropped-out input and its narrow inner vector.
        inside += BYTES * sum(width + rank for width, _ in shape.layer_linears)
    return inside


def _logit_bytes(shape: ModelShape) -> int:
    """Logits of one position: in bfloat16 and float32, with their gradient in float32."""
    return (BYTES + 4 + 4) * shape.vocabulary


def check_stage(stage: str) -> None:
    """Refuse what is no stage.

    Raises:
        InputError: an unknown stage.
    """
    if stage not in STAGES:
        raise unknown_name("stage", stage, STAGES)


def _first_gate(shape: ModelShape) -> int:
    return (
        2 * shape.connector_layers * (shape.connector_layers // 2)
        if shape.connector == "TAC"
        else 2 * shape.image_tokens * shape.tower_width * shape.hidden
    )


def _lora_forward(shape: ModelShape, tokens: int, rank: int) -> int:
    return 2 * tokens * shape.lora_parameters(rank)


def _first_inputs(shape: ModelShape, tokens: int, rank: int) -> int:
    """Gradients that q, k and v of the first layer need not make: what they read is frozen."""
    return (
        2
        * tokens
        * sum(width * (out + rank) for width, out in shape.layer_linears[: shape.readers])
    )


@dataclass(frozen=True)
class Memory:
    """Bytes on one GPU, estimated."""

    weights: float
    states: float
    activations: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.weights + self.states + self.activations


def memory(
    shape: ModelShape,
    stage: str,
    *,
    batch: int,
    text: int,
    recompute: bool,
    rank: int = LORA_RANK,
) -> Memory:
    """Memory of training, an estimate: weights in bfloat16, states of what is trained, activations.

    A decoder layer keeps, per position, its input and its norms (6 widths), queries, keys, values
    and attention's result, and the MLP's three inner vectors; attention weights are never kept.
    With recomputation each layer keeps its input, and one layer at a time all else. Logits stand in
    bfloat16 and float32, with their gradient in float32.
    """
    check_stage(stage)
    tokens = text + shape.image_tokens
    inside = _kept_inside(shape, stage, rank)
    kept = shape.layers * BYTES * shape.hidden + inside if recompute else shape.layers * inside
    logits = _logit_bytes(shape)
    # All hidden states of two images: the connector reads them.
    tower = 2 * BYTES * shape.tower_tokens * shape.tower_width * shape.tower_layers
    connector = 0.0
    if stage == "align":
        connector = BYTES * shape.image_tokens * (30 * shape.tower_width + 8 * shape.hidden)
        connector += 2 * tower
    trained = shape.connector_parameters if stage == "align" else shape.lora_parameters(rank)
    return Memory(
        weights=BYTES * shape.parameters,
        states=STATE_BYTES * trained,
        activations=batch * (tokens * (kept + logits) + tower + connector),
    )


def generation_memory(
    shape: ModelShape, *, side_by_side: int, beams: int, prompt: int, new_tokens: int, engine: str
) -> Memory:
    """Memory of generation, an estimate: weights, keys and values, logits and one prefill."""
    prefix = prompt + shape.image_tokens
    rows = side_by_side * beams
    if engine == "fast":
        cached = side_by_side * prefix + rows * new_tokens
    else:
        # Reordering by beam holds the old cache and the new one of a layer; count all twice.
        cached = 2 * rows * (prefix + new_tokens)
    prefilled = beams if engine == "reference" else 1
    inner = BYTES * prefix * (6 * shape.hidden + 3 * shape.intermediate)
    return Memory(
        weights=BYTES * shape.parameters,
        states=cached * shape.key_value_bytes,
        activations=prefilled * inner + rows * 3 * 4 * shape.vocabulary,
    )
