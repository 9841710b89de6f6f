"""Timing reports: by parts within a whole, with a forced number of tokens."""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from importlib import import_module
from typing import Any

import torch

from libra_bench.core.errors import InputError, RunError
from libra_bench.core.names import unknown_name
from libra_bench.generation.engines import ENGINES
from libra_bench.generation.protocols import Decoding
from libra_bench.perf import count
from libra_bench.perf.calibration import calibration
from libra_bench.perf.measuring import (
    Effort,
    Subject,
    common,
    peak_bytes,
    quantile,
    rates,
    reset_peak,
)
from libra_bench.perf.nvml import PowerMeter
from libra_bench.perf.random_model import studies as random_studies
from libra_bench.perf.record import Record
from libra_bench.perf.timing import Spans, Stopwatch, repeat


def measure(
    subject: Subject,
    decoding: Decoding,
    *,
    engine: str = "fast",
    tokens: int = 128,
    studies: int = 8,
    side_by_side: int = 8,
    prompt: int = 96,
    effort: Effort | None = None,
    environment: dict[str, Any],
) -> Record:
    """Time whole reports of random studies, and their parts within.

    Args:
        decoding: the protocol; exactly `tokens` new tokens are forced.
        studies: reports of one repetition; every second has a prior.
        prompt: prompt ids, the image's own token among them.
        environment: `versions` and `commit` of the record.

    Raises:
        InputError: an unknown engine, numbers that make no sense, more tokens than the model has
            positions.
        RunError: out of memory, or a clock that jumps.
    """
    if engine not in ENGINES:
        raise unknown_name("engine", engine, ENGINES)
    if min(tokens, studies, side_by_side) < 1 or prompt < 2:
        raise InputError("tokens, studies and batch size must be at least 1, the prompt 2")
    decoding = replace(decoding, max_new_tokens=tokens, min_new_tokens=tokens)
    shape, device = subject.counted_shape(prompt - 1 + tokens), subject.model.device
    cases = random_studies(shape, studies, prompt)
    generate = import_module(f"libra_bench.generation.engines.{engine}").generate
    abreast = min(side_by_side, studies) if engine == "fast" else 1
    latencies: list[float] = []
    delivered: list[int] = []
    rounds: list[tuple[list[float], dict[str, list[float]]]] = []
    meter, spans = PowerMeter(device), Spans(Stopwatch(device))

    # The fast engine's step may be one replay on the device, which calls no module.
    watched = {"during_step": lambda: spans.during("decode")} if engine == "fast" else {}

    def work() -> None:
        spans.marks.clear()
        latencies.clear()
        began = time.perf_counter()
        answers = generate(
            subject.model,
            cases,
            decoding,
            eos_token_ids=subject.end_tokens,
            pad_token_id=subject.pad_token,
            side_by_side=abreast,
            on_done=lambda place, ids: latencies.append(time.perf_counter() - began),
            **watched,
        )
        delivered[:] = [len(ids) for ids in answers]

    def keep(_: int) -> None:
        """A repetition that counts; one that is dropped leaves nothing."""
        rounds.append((list(latencies), spans.seconds()))

    effort = effort or Effort()
    energy: list[float | None] = []
    reset_peak(device)
    modules = {
        "encode": subject.model.vision_tower,
        "connect": subject.model.connector,
        "language": subject.model.language_model,
    }
    try:
        with spans.of(modules, _part):
            for _ in range(effort.warm_up):
                work()
            energy.append(meter.joules())
            found = repeat(
                work,
                device,
                repetitions=effort.repetitions,
                min_seconds=effort.seconds,
                warm_up=0,
                on_done=keep,
                calibrate=calibration(device),
            )
            energy.append(meter.joules())
    except torch.OutOfMemoryError:
        raise RunError(
            f"out of memory with {abreast} studies side by side; a smaller --batch-size needs less"
        ) from None
    if set(delivered) != {tokens}:
        raise RunError(f"{tokens} tokens were forced, but {sorted(set(delivered))} delivered")
    facts = common(subject, meter, effort)
    sizes: dict[str, Any] = {
        "studies": studies,
        "beams": decoding.num_beams,
        "prompt": prompt - 1,
        "new_tokens": tokens,
        "prior_share": (studies // 2) / studies,
    }
    needed = count.generation(shape, **sizes, side_by_side=abreast)
    done = count.generation(shape, **sizes, side_by_side=abreast, engine=engine)
    whole = found.median
    waits = [seconds for times, _ in rounds for seconds in times]
    sums = [{name: sum(times) for name, times in parts.items()} for _, parts in rounds]
    steps = [seconds for _, parts in rounds for seconds in parts.get("decode", [])]
    first = {name: statistics.median(one[name] for one in sums) / studies for name in _FIRST}
    values, gaps = rates(
        facts["gpu"], facts["dtype"], whole, needed=needed.total(), done=done.total()
    )
    results: dict[str, float | None] = {
        "reports_per_second": studies / whole,
        "seconds_per_report_p50": quantile(waits, 0.5),
        "seconds_per_report_p90": quantile(waits, 0.9),
        "tokens_per_second": studies * tokens / whole,
        **{f"first_token_{name}": seconds for name, seconds in first.items()},
        "first_token": sum(first.values()),
        "decode_step": statistics.fmean(steps) if steps else None,
        "outside_the_model": statistics.median(
            seconds - sum(one.values()) for seconds, one in zip(found.seconds, sums, strict=True)
        ),
        "peak_bytes": float(peak_bytes(device)),
        **values,
        "joules_per_report": None,
    }
    if results["decode_step"] is None:
        gaps["decode_step"] = "one token: there is no step after the prefill"
    if energy[0] is None or energy[1] is None:
        gaps["joules_per_report"] = meter.reason or "no NVML"
    else:
        # Dropped repetitions took energy as well.
        done_rounds = len(found.seconds) + found.dropped
        results["joules_per_report"] = (energy[1] - energy[0]) / (done_rounds * studies)
    return Record(
        kind="generation",
        **facts,
        **environment,
        settings={
            "engine": engine,
            "protocol": decoding.name,
            "decoding": decoding.signature(),
            "side_by_side": abreast,
            **sizes,
        },
        seconds=found.seconds,
        calibration=found.calibration,
        dropped=found.dropped,
        parts=rounds[-1][1],
        part_seconds=sums,
        latencies=[times for times, _ in rounds],
        results=results,
        gaps=gaps,
    )


_FIRST = ("encode", "connect", "prefill")


def _part(module: str, arguments: dict[str, Any]) -> str:
    """A call's part: the language model prefills many positions, and decodes one."""
    if module != "language":
        return module
    given = arguments.get("inputs_embeds")
    if given is None:
        given = arguments["input_ids"]
    return "prefill" if given.shape[1] > 1 else "decode"
