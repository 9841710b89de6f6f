"""Timing training steps: forward, backward, optimizer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import torch
from torch import nn

from libra_bench.core.errors import InputError, RunError
from libra_bench.perf import count_training
from libra_bench.perf.calibration import calibration
from libra_bench.perf.measuring import Effort, Subject, common, peak_bytes, rates, reset_peak
from libra_bench.perf.nvml import PowerMeter
from libra_bench.perf.random_model import Batch
from libra_bench.perf.random_model import batch as random_batch
from libra_bench.perf.record import Record
from libra_bench.perf.timing import Spans, Stopwatch, repeat
from libra_bench.perf.trainable import prepare


class Stepper(Protocol):
    """One optimizer step over a batch. A trainer that offers this can be timed as it is."""

    def step(self, batch: Batch, spans: Spans) -> float:
        """Do it; its loss. Marks `forward`, `backward` and `optimizer` in `spans`."""
        ...


class PlainStepper:
    """The step itself, without a trainer around it: AdamW at Libra's rate, accumulated gradients.

    Args:
        micro_batch: samples that go through the model at a time.
    """

    def __init__(
        self,
        subject: Subject,
        trained: Iterable[nn.Parameter],
        *,
        micro_batch: int,
        rate: float = 2e-5,
    ) -> None:
        self._model, self._micro_batch = subject.model, micro_batch
        fused = subject.model.device.type == "cuda"
        self._optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=0.0, fused=fused)

    def step(self, batch: Batch, spans: Spans) -> float:
        """One step; its loss, a mean over the micro-batches."""
        watch, loss = spans.watch, 0.0
        losses = []
        share = self._micro_batch / len(batch.input_ids)
        for part in batch.split(self._micro_batch):
            start = watch.mark()
            answer = self._model(part.input_ids, part.labels, part.current, part.prior)
            middle = watch.mark()
            (answer.loss * share).backward()
            stop = watch.mark()
            spans.marks += [("forward", start, middle), ("backward", middle, stop)]
            losses.append(answer.loss.detach())
        start = watch.mark()
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        spans.marks.append(("optimizer", start, watch.mark()))
        loss = float(torch.stack(losses).mean())
        if loss != loss:
            raise RunError("the loss is NaN; timings of such a step mean nothing")
        return loss


def measure(
    subject: Subject,
    stage: str,
    *,
    batch: int = 16,
    micro_batch: int = 1,
    prompt: int = 96,
    answer: int = 128,
    recompute: bool = False,
    rank: int = count_training.LORA_RANK,
    effort: Effort | None = None,
    environment: dict[str, Any],
    stepper: Stepper | None = None,
) -> Record:
    """Time optimizer steps over random samples. The model is changed by it.

    Args:
        prompt, answer: ids of each sample; the image's own token is one of the prompt's.
        stepper: what takes the step; the plain one, on a model prepared here, if None.

    Raises:
        InputError: another stage, or numbers that make no sense.
        RunError: out of memory, a clock that jumps, a loss that is NaN.
    """
    if min(batch, micro_batch, answer) < 1 or prompt < 2:
        raise InputError("batch, micro-batch and answer must be at least 1, the prompt 2")
    if batch % micro_batch:
        raise InputError(f"a batch of {batch} is not made of micro-batches of {micro_batch}")
    shape, device = subject.counted_shape(prompt - 1 + answer), subject.model.device
    if stepper is None:
        trained = prepare(subject.model, stage, rank=rank, recompute=recompute)
        stepper = PlainStepper(subject, trained, micro_batch=micro_batch)
    samples = random_batch(shape, batch, prompt, answer)
    meter, spans = PowerMeter(device), Spans(Stopwatch(device))
    taken: Stepper = stepper

    rounds: list[dict[str, list[float]]] = []

    def work() -> None:
        spans.marks.clear()
        taken.step(samples, spans)

    def keep(_: int) -> None:
        rounds.append(spans.seconds())

    effort = effort or Effort()
    reset_peak(device)
    try:
        for _ in range(effort.warm_up):
            work()
        before = meter.joules()
        found = repeat(
            work,
            device,
            repetitions=effort.repetitions,
            min_seconds=effort.seconds,
            warm_up=0,
            on_done=keep,
            calibrate=calibration(device),
        )
        after = meter.joules()
    except torch.OutOfMemoryError:
        raise RunError(
            f"out of memory with micro-batches of {micro_batch}; a smaller one, or --recompute, "
            "needs less"
        ) from None
    facts = common(subject, meter, effort)
    counted = count_training.step(
        shape,
        stage,
        batch=batch,
        text=prompt + answer - 1,
        recompute=recompute,
        micro_batch=micro_batch,
        rank=rank,
    )
    whole = found.median
    values, gaps = rates(
        facts["gpu"],
        facts["dtype"],
        whole,
        needed=counted.model,
        done=counted.hardware + counted.optimizer,
    )
    results: dict[str, float | None] = {
        "samples_per_second": batch / whole,
        "seconds_per_step": whole,
        "tokens_per_second": batch * (prompt + answer - 1 + shape.image_tokens) / whole,
        "peak_bytes": float(peak_bytes(device)),
        **values,
        "joules_per_sample": None,
    }
    if before is None or after is None:
        gaps["joules_per_sample"] = meter.reason or "no NVML"
    else:
        done_rounds = len(found.seconds) + found.dropped
        results["joules_per_sample"] = (after - before) / (done_rounds * batch)
    return Record(
        kind="training",
        **facts,
        **environment,
        settings={
            "stage": stage,
            "batch": batch,
            "micro_batch": micro_batch,
            "prompt": prompt - 1,
            "answer": answer,
            "recompute": recompute,
            "lora_rank": rank if stage == "finetune" else None,
        },
        seconds=found.seconds,
        calibration=found.calibration,
        dropped=found.dropped,
        parts=rounds[-1],
        part_seconds=[{name: sum(times) for name, times in parts.items()} for parts in rounds],
        results=results,
        gaps=gaps,
    )
