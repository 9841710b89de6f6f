"""Speed of both engines and of a training step, at shapes for a CPU."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from shapes import SHAPES, build, studies

from libra_bench.generation.engines import fast, reference
from libra_bench.generation.protocols import protocol
from libra_bench.perf.measure_training import PlainStepper
from libra_bench.perf.measuring import Subject
from libra_bench.perf.random_model import batch
from libra_bench.perf.shape import named
from libra_bench.perf.timing import Spans, Stopwatch
from libra_bench.perf.trainable import prepare

# Of a few hundred random tokens the ban on repeated n-grams would soon meet the image's own id.
SHAPE = replace(named("micro"), vocabulary=2000)
ENGINES = {"fast": fast, "reference": reference}


@pytest.mark.parametrize("beams", [1, 10])
@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_engine(arithmetic: Any, engine: str, beams: int) -> None:
    model, cases = build(SHAPE), studies(SHAPE, 2)
    decoding = protocol("libra-paper", num_beams=beams, max_new_tokens=8, min_new_tokens=8)
    generate = ENGINES[engine].generate
    answers = arithmetic(generate, model, cases, decoding, eos_token_ids=[2], pad_token_id=0)
    assert [len(ids) for ids in answers] == [8, 8]


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("stage", ["align", "finetune"])
def test_training_step(arithmetic: Any, stage: str) -> None:
    """At the shape for a CPU, whose image has Libra's own 1,369 vectors: seconds a step."""
    shape = SHAPES["cpu"]
    subject = Subject(build(shape), "cpu", True, [2], 0)
    trained = prepare(subject.model, stage, rank=8)
    stepper = PlainStepper(subject, trained, micro_batch=1)
    samples = batch(shape, 1, prompt=20, answer=30)
    spans = Spans(Stopwatch(torch.device("cpu")))
    loss = arithmetic.pedantic(stepper.step, (samples, spans), rounds=3, warmup_rounds=1)
    assert loss > 0
