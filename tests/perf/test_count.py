"""Counted operations against torch's own counter, and against figures derived by hand."""

from dataclasses import replace

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from libra_bench.core.errors import InputError
from libra_bench.generation.engines import fast, reference
from libra_bench.generation.protocols import Decoding
from libra_bench.perf import count, count_training
from libra_bench.perf.random_model import batch, build, studies
from libra_bench.perf.shape import ModelShape, named, shape_of
from libra_bench.perf.trainable import prepare

MICRO = named("micro")
GROUPED = replace(MICRO, key_value_heads=2, head_width=24, vocabulary=500, image=140)
SHAPES = pytest.mark.parametrize("shape", [MICRO, GROUPED], ids=["micro", "grouped"])


class Counter(FlopCounterMode):
    """Counts attention as well: its fused kernel on a CPU has no formula, the plain one has."""

    def __init__(self) -> None:
        super().__init__(display=False)
        self.plain = sdpa_kernel(SDPBackend.MATH)

    def __enter__(self):
        self.plain.__enter__()
        return super().__enter__()

    def __exit__(self, *args):
        self.plain.__exit__(*args)
        return super().__exit__(*args)


@SHAPES
def test_parts_agree_with_torch_to_one_percent(shape: ModelShape) -> None:
    model, study = build(shape), studies(shape, 2)[1]
    with torch.no_grad():
        with Counter() as counter:
            now = model.encode(study.current[None])
        assert count.encode(shape).flops == pytest.approx(counter.get_total_flops(), rel=0.01)
        before = model.encode(study.prior[None])
        for prior in (before, None):
            with Counter() as counter:
                image = model.connect(now, prior)
            expected = count.connect(shape, prior=prior is not None).flops
            assert expected == pytest.approx(counter.get_total_flops(), rel=0.01)
        rows = model.embed(study.prompt_ids, image[0]).expand(3, -1, -1)
        with Counter() as counter:
            model.language_model(inputs_embeds=rows, logits_to_keep=1)
        expected = count.prefill(shape, rows.shape[1], rows=3).flops
        assert expected == pytest.approx(counter.get_total_flops(), rel=0.01)


@SHAPES
@pytest.mark.parametrize("engine", [fast, reference])
@pytest.mark.parametrize("beams", [1, 3])
def test_whole_reports_agree_with_torch(shape: ModelShape, engine, beams: int) -> None:
    model, cases = build(shape), studies(shape, 2)
    decoding = Decoding("test", num_beams=beams, max_new_tokens=6, min_new_tokens=6)
    extra = {"side_by_side": 2} if engine is fast else {}
    with Counter() as counter:
        engine.generate(model, cases, decoding, eos_token_ids=[2], pad_token_id=0, **extra)
    expected = count.generation(
        shape,
        studies=2,
        beams=beams,
        prompt=len(cases[0].prompt_ids) - 1,
        new_tokens=6,
        side_by_side=2,
        prior_share=0.5,
        engine=engine.__name__.rpartition(".")[2],
    )
    assert expected.total().flops == pytest.approx(counter.get_total_flops(), rel=0.01)


@SHAPES
@pytest.mark.parametrize("stage", count_training.STAGES)
@pytest.mark.parametrize("recompute", [False, True])
def test_a_training_step_agrees_with_torch(shape: ModelShape, stage: str, recompute: bool) -> None:
    model, rank = build(shape), 8
    trained = prepare(model, stage, rank=rank, recompute=recompute)
    samples = batch(shape, 2, prompt=20, answer=30)
    with Counter() as counter:
        loss = model(samples.input_ids, samples.labels, samples.current, samples.prior).loss
        loss.backward()
    assert all(one.grad is not None for one in trained if one.ndim > 1)
    # 50 ids, of which one makes room for the image.
    step = count_training.step(shape, stage, batch=2, text=49, recompute=recompute, rank=rank)
    assert step.hardware.flops == pytest.approx(counter.get_total_flops(), rel=0.01)
    assert step.model.flops <= step.hardware.flops


def test_libra_7b_has_its_known_sizes() -> None:
    shape = named("libra-7b")
    assert shape.image_tokens == 1369
    assert shape.lora_parameters(128) == 319_815_680
    # Llama-2-7B has 6,738,415,616 parameters, of which 65 norms of 4,096.
    assert shape.language_parameters == 6_738_415_616 - 65 * 4096
    # 2 (keys, values) · 32 layers · 4,096 · 2 bytes; a prefix of 1,430 positions is 0.75 GB.
    assert shape.key_value_bytes == 524_288
    assert count.prefill(shape, 1430).flops == pytest.approx(20e12, rel=0.03)


def test_decode_on_an_h100_is_as_long_as_its_bytes() -> None:
    """10 beams, one study: 4.3 ms with a shared prefix, 15.9 with copied caches (by hand)."""
    shape = named("libra-7b")
    seconds = {
        engine: count.decode_step(
            shape, studies=1, beams=10, prefix=1430, suffix=60, engine=engine
        ).bytes
        / 3.35e12
        for engine in ("fast", "reference")
    }
    assert seconds["fast"] == pytest.approx(4.3e-3, rel=0.02)
    assert seconds["reference"] == pytest.approx(15.9e-3, rel=0.03)


def test_a_frozen_model_takes_four_operations_a_parameter_and_token() -> None:
    shape = named("libra-7b")
    step = count_training.step(shape, "align", batch=1, text=200, recompute=False)
    tokens = 200 + shape.image_tokens
    linear = 4 * shape.decoder_parameters * tokens
    assert linear < step.model.flops < 1.15 * linear


def test_recomputation_never_counts_for_the_model() -> None:
    kept, again = (
        count_training.step(MICRO, "finetune", batch=4, text=50, recompute=flag)
        for flag in (False, True)
    )
    assert kept.model.flops == again.model.flops
    assert kept.hardware.flops < again.hardware.flops
    assert (
        count_training.memory(MICRO, "finetune", batch=4, text=50, recompute=True).total
        < count_training.memory(MICRO, "finetune", batch=4, text=50, recompute=False).total
    )


def test_costs_grow_with_the_batch_and_not_with_its_split() -> None:
    one = count_training.step(MICRO, "align", batch=1, text=50, recompute=False)
    eight = count_training.step(MICRO, "align", batch=8, text=50, recompute=False)
    assert eight.model.flops == 8 * one.model.flops
    assert eight.optimizer == one.optimizer


def test_a_checkpoint_tells_its_shape() -> None:
    model = build(MICRO)
    assert shape_of(model.config, model.vision_tower.encoder.config) == MICRO


def test_what_is_not_counted_is_refused() -> None:
    with pytest.raises(InputError, match="libra-7b"):
        named("libra-7")
    with pytest.raises(InputError, match="stage"):
        count_training.step(MICRO, "stage2", batch=1, text=1, recompute=False)


@pytest.mark.parametrize("name", ["libra-7b", "libra-3b"])
def test_packaged_shapes_build_the_models_they_name(name: str) -> None:
    shape = named(name)
    model = build(shape, device="meta")
    assert shape_of(model.config, model.vision_tower.encoder.config) == shape
    real = sum(one.numel() for one in model.parameters())
    # Norms, biases and the tower's position table are left out of the shape's count.
    assert shape.parameters == pytest.approx(real, rel=0.001)
