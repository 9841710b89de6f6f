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
    """One optimizer step.

    Attributes:
        model: operations that the model needs.
        recomputed: operations done again instead of keeping their results.
        optimizer: Adam's pass over weights, gradients and moments.
    """

    model: Cost
    recomputed: Cost
    optimizer: Cost

    @property
    def hardware(self) -> Cost:
        """What the device does, forward and backward."""
        return self.model + self.recomputed


def step(
    shape: ModelShape,
    stage: str,
    *,
    batch: int,
    text: int,
    recompute: bool,
    rank: int = LORA_RANK,
    prior: bool = True,
) -> TrainingStep:
    """One step over `batch` samples.

    Args:
        stage: `align` or `finetune`.
        text: positions of prompt and answer without the image.
        prior: whether the second image is another one; upstream encodes two in any case.

    Raises:
        InputError: another stage.
    """
    check_stage(stage)
    tokens = text + shape.image_tokens
    tower = count.encode(shape, 2 if prior else 1).flops
    connector = count.connect(shape, prior=prior).flops
    head = 2 * tokens * shape.hidden * shape.vocabulary
    decoder = count.decoder(shape, tokens)
    # Linears go back once, for their inputs; attention twice: queries, keys, values, weights.
    language = 2 * (decoder + head) + shape.layers * count.attention(shape, tokens, tokens)
    if stage == "align":
        first_gate = _first_gate(shape) * (2 if prior else 1)
        # The gate's first layer looks at features that need no gradient.
        flops = tower + 3 * connector - first_gate + language
        trained = shape.connector_parameters
    else:
        # Adapters go forward, and back for A and B and for their inputs.
        flops = tower + connector + language + 3 * _lora_forward(shape, tokens, rank)
        flops -= _first_inputs(shape, tokens, rank)
        trained = shape.lora_parameters(rank)
    weights = BYTES * (shape.decoder_parameters + shape.tower_parameters)
    # A layer is done again as far as something needs it; its last product's result nobody does.
    width, out = shape.layer_linears[-1]
    if stage == "align":
        again = decoder - shape.layers * 2 * tokens * width * out
    else:
        last = shape.layers * 2 * tokens * rank * out
        again = decoder + _lora_forward(shape, tokens, rank) - last
        # Checkpointing in transformers asks for the first layer's gradients as well.
        again += _first_inputs(shape, tokens, rank)
    return TrainingStep(
        model=Cost(batch * flops, 2 * weights),
        recomputed=Cost(batch * again if recompute else 0, weights if recompute else 0),
        optimizer=Cost(0, ADAM_BYTES * trained),
    )


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
    return 2 * tokens * sum(width * (out + rank) for width, out in shape.layer_linears[:3])


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
    own, shared = shape.heads * shape.head_width, shape.key_value_heads * shape.head_width
    inside = BYTES * (6 * shape.hidden + 2 * own + 2 * shared + 3 * shape.intermediate)
    if stage == "finetune":
        # Each adapter keeps its dropped-out input and its narrow inner vector.
        inside += BYTES * sum(width + rank for width, _ in shape.layer_linears)
    kept = shape.layers * BYTES * shape.hidden + inside if recompute else shape.layers * inside
    logits = (BYTES + 4 + 4) * shape.vocabulary
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
