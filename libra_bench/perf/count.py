"""FLOPs and bytes of every part, from a model's shape.

A multiplication and an addition are two operations. As `torch.utils.flop_counter` does, only
matrix products and convolutions are counted, and attention in full, without the half that a causal
kernel may skip. Bytes are those that must cross the memory bus at least once: weights, keys and
values; activations stay in caches or are small beside them.
"""

from __future__ import annotations

from dataclasses import dataclass

from libra_bench.perf.shape import BYTES, ModelShape


@dataclass(frozen=True)
class Cost:
    """Operations and bytes of one part."""

    flops: float
    bytes: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.flops + other.flops, self.bytes + other.bytes)

    def __mul__(self, times: float) -> Cost:
        return Cost(self.flops * times, self.bytes * times)

    __rmul__ = __mul__


def encode(shape: ModelShape, images: int = 1) -> Cost:
    """The vision tower on `images` images."""
    tokens, width = shape.tower_tokens, shape.tower_width
    linears = 2 * tokens * shape.tower_block
    attention = 4 * tokens**2 * width
    embedding = 2 * shape.patches * 3 * shape.patch**2 * width
    flops = shape.tower_layers * (linears + attention) + embedding
    if shape.pooling_head:
        # One query looks at all positions.
        flops += 4 * tokens * width * (width + 1) + 2 * (shape.tower_block - 2 * width**2)
    return Cost(images * flops, BYTES * shape.tower_parameters)


def connect(shape: ModelShape, studies: int = 1, *, prior: bool = True) -> Cost:
    """The connector on `studies` studies; without a prior TAC extracts one image only."""
    tokens, width, hidden = shape.image_tokens, shape.tower_width, shape.hidden
    weights = BYTES * shape.connector_parameters
    if shape.connector != "TAC":
        return Cost(studies * 2 * tokens * shape.connector_parameters, weights)
    linears = 2 * tokens * (14 * width**2 + width * hidden + 3 * hidden**2)
    # The bias key and value stand behind the patches in each of the three attentions.
    attention = 3 * 4 * tokens * (tokens + 1) * width
    flops = linears + attention + (2 if prior else 1) * extract(shape)
    return Cost(studies * flops, weights)


def extract(shape: ModelShape) -> int:
    """TAC's layerwise feature extractor on one image: three gates, three 1×1 convolutions."""
    layers = shape.connector_layers
    half, quarter = layers // 2, layers // 4
    pixels = shape.image_tokens * shape.tower_width
    convolutions = 2 * pixels * (layers * half + half * quarter + quarter)
    gates = 2 * 2 * (layers * half + half * quarter + quarter)
    return convolutions + gates


def prefill(shape: ModelShape, tokens: int, rows: int = 1) -> Cost:
    """The language model on `rows` prompts of `tokens` positions; logits of the last one only."""
    head = 2 * shape.hidden * shape.vocabulary
    flops = rows * (decoder(shape, tokens) + head)
    written = rows * tokens * shape.key_value_bytes
    return Cost(flops, BYTES * shape.decoder_parameters + written)


def decoder(shape: ModelShape, tokens: int) -> int:
    """All decoder layers on one sequence, forward, in FLOPs; the head is not among them."""
    return shape.layers * (2 * tokens * shape.layer_parameters + attention(shape, tokens, tokens))


def attention(shape: ModelShape, queries: int, keys: int) -> int:
    """Scores and weighted sums of one layer, in FLOPs."""
    return 4 * queries * keys * shape.heads * shape.head_width


COPIES = 4
"""Passes over the cache that the reference adds to a beam step: growing it reads and writes all of
it, reordering it by beam once more."""


def decode_step(
    shape: ModelShape, *, studies: int, beams: int, prefix: int, suffix: float, engine: str = "fast"
) -> Cost:
    """One more token for every beam of every study.

    Args:
        prefix: positions of the prompt, its image included.
        suffix: positions that each beam has added.
        engine: `fast` reads each study's prefix once; `reference` reads it for every beam, and
            copies the whole cache.
    """
    rows = studies * beams
    span = prefix + suffix
    flops = rows * (
        2 * shape.decoder_parameters + shape.layers * 4 * span * shape.heads * shape.head_width
    )
    if engine == "fast":
        cached = studies * prefix + rows * suffix
    else:
        # Growing the cache copies it for one beam as well; only reordering needs several.
        cached = rows * span * (1 + (COPIES if beams > 1 else COPIES / 2))
    return Cost(flops, BYTES * shape.decoder_parameters + cached * shape.key_value_bytes)


@dataclass(frozen=True)
class Generation:
    """Parts of the work for `studies` reports."""

    encode: Cost
    connect: Cost
    prefill: Cost
    decode: Cost
    """All steps together."""
    steps: int

    def parts(self) -> dict[str, Cost]:
        """By name, in the order of work."""
        return {
            "encode": self.encode,
            "connect": self.connect,
            "prefill": self.prefill,
            "decode": self.decode,
        }

    def total(self) -> Cost:
        """All parts."""
        return self.encode + self.connect + self.prefill + self.decode


def generation(
    shape: ModelShape,
    *,
    studies: int,
    beams: int,
    prompt: int,
    new_tokens: int,
    side_by_side: int = 1,
    prior_share: float = 1.0,
    engine: str = "fast",
) -> Generation:
    """What an engine does for `studies` reports of `new_tokens` tokens.

    Args:
        prompt: positions of the prompt without the image.
        side_by_side: studies in one decode step of the fast engine.
        prior_share: share of studies with a prior of their own; the reference encodes two images
            in any case.
    """
    prefix = prompt + shape.image_tokens
    # The first token comes from the prefill.
    steps = new_tokens - 1
    middle = steps / 2 + 0.5
    slow = engine == "reference"
    rows = beams if slow else 1
    images = 2.0 * rows if slow else 1 + prior_share
    groups = studies if slow else studies / min(side_by_side, studies)
    step = decode_step(
        shape,
        studies=1 if slow else min(side_by_side, studies),
        beams=beams,
        prefix=prefix,
        suffix=middle,
        engine=engine,
    )
    tower, connector = encode(shape), connect(shape)
    return Generation(
        encode=studies * Cost(images * tower.flops, (2 if slow else images) * tower.bytes),
        connect=studies * Cost(rows * connector.flops, connector.bytes),
        prefill=studies * prefill(shape, prefix, rows),
        decode=groups * steps * step,
        steps=round(groups * steps),
    )
