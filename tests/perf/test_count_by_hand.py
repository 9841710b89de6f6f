"""FLOPs and bytes of a shape that is small enough to count on paper, exactly."""

import sys
from pathlib import Path

import pytest

from libra_bench.perf import count, count_training
from libra_bench.perf.count import Cost

sys.path.insert(0, str(Path(__file__).resolve().parent))
from small_shape import SMALL

# A tower block: 4 * 36 + 2 * 6 * 10 = 264; the tower: 4 * 264 + 588 * 6 = 4,584 weights.
TOWER = 9_168
"""Bytes: 2 * 4,584."""
# The connector: 3 * 4 * 36 + 2 * 36 + 6 * 8 + 3 * 64 = 744 weights.
CONNECTOR = 1_488
# A decoder layer: q 96, k 48, v 48, o 96, gate 96, up 96, down 96 = 576; three and the head of
# 8 * 20 are 1,888 weights.
DECODER = 3_776


def test_sizes() -> None:
    assert (SMALL.patches, SMALL.tower_tokens, SMALL.image_tokens) == (4, 5, 4)
    assert (SMALL.tower_block, SMALL.tower_parameters) == (264, 4_584)
    assert (SMALL.connector_parameters, SMALL.layer_parameters) == (744, 576)
    assert SMALL.decoder_parameters == 1_888
    # The embedding is one more table: 3 * 576 + 2 * 160; all: 2,048 + 4,584 + 744.
    assert (SMALL.language_parameters, SMALL.parameters) == (2_048, 7_376)
    # (in + out) of the seven linears: 20 + 14 + 14 + 20 + 20 + 20 + 20 = 128; 3 layers, rank 2.
    assert SMALL.lora_parameters(2) == 768
    # Keys and values, 3 layers, 2 heads of 3, 2 bytes.
    assert SMALL.key_value_bytes == 2 * 3 * 2 * 3 * 2 == 72


def test_the_tower() -> None:
    # A layer: 2 * 5 * 264 and 4 * 5 * 5 * 6; four of them, and the embedding 2 * 4 * 588 * 6.
    assert 4 * (2_640 + 600) + 28_224 == 41_184
    assert count.encode(SMALL) == Cost(41_184, TOWER)
    # The weights are read once however many images there are.
    assert count.encode(SMALL, 3) == Cost(123_552, TOWER)


def test_the_connector() -> None:
    # One image through the extractor: three convolutions over 4 * 6 numbers, 4 -> 2 -> 1 -> 1, so
    # 2 * 24 * (8 + 2 + 1) = 528; three gates, two linears each: 4 * 11 = 44.
    assert count.extract(SMALL) == 572
    # Linears 2 * 4 * (14 * 36 + 48 + 192) = 5,952; three attentions of 4 queries and 5 keys, the
    # bias key among them: 3 * 4 * 4 * 5 * 6 = 1,440.
    assert count.connect(SMALL) == Cost(5_952 + 1_440 + 2 * 572, CONNECTOR)
    assert count.connect(SMALL, 2, prior=False) == Cost(2 * (5_952 + 1_440 + 572), CONNECTOR)


def test_prefill() -> None:
    # 3 * (2 * 10 * 576 + 4 * 10 * 10 * 12) = 48,960, the last position's logits 2 * 8 * 20 = 320.
    assert count.decoder(SMALL, 10) == 48_960
    # Two rows write keys and values of 20 positions.
    assert count.prefill(SMALL, 10, rows=2) == Cost(2 * (48_960 + 320), DECODER + 20 * 72)


def test_a_decode_step() -> None:
    # A row: 2 * 1,888 and, over 14 positions, 3 * 4 * 14 * 12 = 2,016.
    row = 3_776 + 2_016
    fast = count.decode_step(SMALL, studies=2, beams=3, prefix=10, suffix=4)
    # Two prefixes of 10 once each, six suffixes of 4: 44 positions.
    assert fast == Cost(6 * row, DECODER + 44 * 72)
    slow = count.decode_step(SMALL, studies=2, beams=3, prefix=10, suffix=4, engine="reference")
    # Six rows of 14 positions: read, and copied twice, which is reading and writing each time.
    assert slow == Cost(6 * row, DECODER + 6 * 14 * 5 * 72)
    alone = count.decode_step(SMALL, studies=2, beams=1, prefix=10, suffix=4, engine="reference")
    # One beam is never reordered: one copy less.
    assert alone == Cost(2 * row, DECODER + 2 * 14 * 3 * 72)


def generation(engine: str, side_by_side: int = 2) -> count.Generation:
    return count.generation(
        SMALL,
        studies=3,
        beams=2,
        prompt=6,
        new_tokens=5,
        side_by_side=side_by_side,
        prior_share=0.5,
        engine=engine,
    )


def test_reports_of_the_fast_engine() -> None:
    """A prefix of 6 + 4; 5 tokens are 4 steps, at suffixes 1 to 4, 2.5 in the mean."""
    work = generation("fast")
    # 1.5 images a study, each with its own pass over the tower's weights.
    assert work.encode == Cost(3 * 1.5 * 41_184, 3 * 1.5 * TOWER)
    assert work.connect == Cost(3 * 8_536, 3 * CONNECTOR)
    assert work.prefill == Cost(3 * 49_280, 3 * (DECODER + 10 * 72))
    # Two studies of two beams: a row 3,776 + 3 * 4 * 12.5 * 12 = 5,576; 2 * 10 + 4 * 2.5 = 30
    # positions. Three studies are 1.5 rounds of 4 steps.
    assert work.decode == Cost(6 * 4 * 5_576, 6 * (DECODER + 30 * 72))
    assert work.steps == 6
    assert list(work.parts()) == ["encode", "connect", "prefill", "decode"]
    assert work.total() == work.encode + work.connect + work.prefill + work.decode
    # No more studies side by side than there are.
    assert generation("fast", 8).steps == 4


def test_reports_of_the_reference() -> None:
    work = generation("reference")
    # Two images for each of two beams; current and prior images are one pass each.
    assert work.encode == Cost(3 * 4 * 41_184, 3 * 2 * TOWER)
    assert work.connect == Cost(3 * 2 * 8_536, 3 * CONNECTOR)
    assert work.prefill == Cost(3 * 2 * 49_280, 3 * (DECODER + 2 * 10 * 72))
    # One study at a time, 3 * 4 steps of two rows; 2 * 12.5 positions five times over.
    assert work.decode == Cost(12 * 2 * 5_576, 12 * (DECODER + 125 * 72))
    assert work.steps == 12


def step(stage: str, *, recompute: bool = True) -> count_training.TrainingStep:
    return count_training.step(
        SMALL, stage, batch=3, text=6, recompute=recompute, micro_batch=2, rank=2
    )


def test_a_step_of_stage_1() -> None:
    """10 positions; 3 samples in micro-batches of 2 are two passes over all weights."""
    made = step("align")
    assert made.encode == Cost(3 * 2 * 41_184, 2 * TOWER)
    # Forward and twice that back, but for the first gate, 2 * 4 * 2 on each of two images.
    assert made.connect == Cost(3 * (3 * 8_536 - 32), 2 * CONNECTOR)
    # 48,960 and all positions' logits 2 * 10 * 8 * 20 = 3,200; back, attention once more: 14,400.
    assert made.forward == Cost(3 * 52_160, 2 * DECODER)
    assert made.backward == Cost(3 * 66_560, 2 * DECODER)
    # Nobody needs the last product again: 3 * 2 * 10 * 12 * 8 = 5,760.
    assert made.recompute == Cost(3 * (48_960 - 5_760), 2 * DECODER)
    # A layer keeps 2 * (6 * 8 + 2 * 12 + 2 * 6 + 3 * 12) = 240 bytes a position, crossed 7 times,
    # or 5; logits 10 * 20 bytes twice.
    assert made.activations == Cost(0, 3 * 10 * (7 * 720 + 400))
    assert step("align", recompute=False).activations == Cost(0, 3 * 10 * (5 * 720 + 400))
    assert made.optimizer == Cost(0, 28 * 744)
    assert made.launches == {"encode": 16, "forward": 6, "backward": 12, "recompute": 6}
    assert step("align", recompute=False).recompute == Cost(0, 0)
    assert made.hardware == made.model + made.recompute
    parts = made.encode + made.connect + made.forward + made.backward + made.activations
    assert made.model == parts


def test_a_step_of_stage_2() -> None:
    made = step("finetune")
    assert made.connect == Cost(3 * 8_536, 2 * CONNECTOR)
    # Adapters: 2 * 10 * 768 = 15,360 forward and twice back; q, k and v of the first layer make no
    # gradient of their input: 2 * 10 * (8 * (12 + 2) + 2 * 8 * (6 + 2)) = 4,800.
    assert made.forward == Cost(3 * (52_160 + 15_360), 2 * DECODER)
    assert made.backward == Cost(3 * (66_560 + 30_720 - 4_800), 2 * DECODER)
    # Again: all but the last adapter's product 3 * 2 * 10 * 2 * 8 = 960, and the first inputs.
    assert made.recompute == Cost(3 * (48_960 + 15_360 - 960 + 4_800), 2 * DECODER)
    # Each adapter keeps its input and 2 numbers: 2 * (64 + 7 * 2) = 156 bytes more a layer.
    assert made.activations == Cost(0, 3 * 10 * (7 * 3 * 396 + 400))
    assert made.optimizer == Cost(0, 28 * 768)


def test_memory_of_training() -> None:
    # All hidden states of two images: 2 * 2 * 5 * 6 * 4 = 480 bytes.
    first = count_training.memory(SMALL, "align", batch=2, text=6, recompute=True, rank=2)
    assert first.weights == 2 * 7_376
    assert first.states == 16 * 744
    # Kept: 3 * 2 * 8 of the layers' inputs and 240 of one layer; 200 of logits. The connector:
    # 2 * 4 * (30 * 6 + 8 * 8) = 1,952 and the tower's states twice.
    assert first.activations == 2 * (10 * (288 + 200) + 480 + 1_952 + 960)
    second = count_training.memory(SMALL, "finetune", batch=2, text=6, recompute=False, rank=2)
    assert second.states == 16 * 768
    assert second.activations == 2 * (10 * (3 * 396 + 200) + 480)
    assert second.total == 2 * 7_376 + 16 * 768 + second.activations


@pytest.mark.parametrize(
    ("engine", "positions", "prefilled"),
    # Two prefixes of 10 and six suffixes of 5; or six rows of 15, twice.
    [("fast", 50, 1), ("reference", 180, 3)],
)
def test_memory_of_generation(engine: str, positions: int, prefilled: int) -> None:
    found = count_training.generation_memory(
        SMALL, side_by_side=2, beams=3, prompt=6, new_tokens=5, engine=engine
    )
    assert found.weights == 2 * 7_376
    assert found.states == positions * 72
    # A prefill: 2 * 10 * (6 * 8 + 3 * 12) = 1,680 bytes; six rows of logits in float32, thrice.
    assert found.activations == prefilled * 1_680 + 6 * 3 * 4 * 20
