"""Fast against reference: the same token ids, reports per second and peak memory, in one run.

    python benchmarks/engines.py                                   # two CPU cores, 4 studies
    python benchmarks/engines.py --shape 7b --device cuda --dtype bfloat16 --tokens 128 \
        --studies 32 --side-by-side 16 --reference-studies 2 --no-equal \
        --json reports/engines/h100-sxm-7b.json                    # a GPU

On a known GPU the decode step stands beside its roofline. The timed part is repeated; all raw
timings are kept. Weights are random: nothing here is a result of quality.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from shapes import SHAPES, build, studies

from libra_bench.generation.engines import fast, reference
from libra_bench.generation.protocols import Decoding
from libra_bench.perf.count import decode_step
from libra_bench.perf.hardware import Gpu, gpu_of_device
from libra_bench.perf.timing import Spans, Stopwatch

PROMPT = 96
"""Ids of each prompt."""
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def main() -> None:
    """Measure both engines, each in a process of its own so that peak memory is its own."""
    options = parse()
    if options.engine:
        print(json.dumps(measure(options)))
        return
    records = {}
    for name in ("reference", "fast"):
        command = [sys.executable, __file__, *sys.argv[1:], "--engine", name]
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
        records[name] = json.loads(answer.stdout.splitlines()[-1])
        show = {key: value for key, value in records[name].items() if key != "ids"}
        print(name, json.dumps(show), file=sys.stderr)
    slow, quick = records["reference"], records["fast"]
    compared = min(len(slow["ids"]), len(quick["ids"]))
    record: dict[str, Any] = {
        "shape": options.shape,
        "device": device_name(options.device),
        "dtype": options.dtype,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": importlib.metadata.version("transformers"),
        "decoding": decoding(options).signature(),
        "records": {
            name: {key: value for key, value in one.items() if key != "ids"}
            for name, one in records.items()
        },
        "equal_ids": slow["ids"][:compared] == quick["ids"][:compared],
        "speedup": quick["reports_per_second"] / slow["reports_per_second"],
        "memory_ratio": quick["peak_bytes"] / slow["peak_bytes"],
    }
    gpu = gpu_of_device(record["device"]) if options.device == "cuda" else None
    if gpu is not None:
        record["roofline_step_seconds"] = roofline(options, gpu)
    text = json.dumps(record, indent=1)
    print(text)
    if options.json:
        options.json.write_text(text + "\n")
    if not options.no_equal and not record["equal_ids"]:
        raise SystemExit("the engines chose different tokens")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shape", choices=SHAPES, default="cpu")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    parser.add_argument("--beams", type=int, default=10)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--studies", type=int, default=4)
    parser.add_argument("--reference-studies", type=int, help="fewer, where the reference is slow")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--side-by-side", type=int, default=fast.SIDE_BY_SIDE)
    parser.add_argument("--no-equal", action="store_true", help="low precision: ids may differ")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--engine", choices=("reference", "fast"), help=argparse.SUPPRESS)
    return parser.parse_args()


def decoding(options: argparse.Namespace) -> Decoding:
    """The paper's beam search with a forced number of tokens, or greedy for one beam."""
    beams = options.beams
    return Decoding(
        "benchmark",
        num_beams=beams,
        length_penalty=2.0 if beams > 1 else 1.0,
        no_repeat_ngram_size=3,
        max_new_tokens=options.tokens,
        min_new_tokens=options.tokens,
    )


def roofline(options: argparse.Namespace, gpu: Gpu) -> float:
    """Seconds of a decode step of the fast engine in bfloat16, from its bytes or operations."""
    shape = SHAPES[options.shape]
    cost = decode_step(
        shape,
        studies=min(options.side_by_side, options.studies),
        beams=options.beams,
        prefix=PROMPT - 1 + shape.image_tokens,
        suffix=options.tokens / 2,
    )
    return max(cost.bytes / gpu.bandwidth, cost.flops / gpu.flops)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Time one engine after a warm-up on one study."""
    shape = SHAPES[options.shape]
    model = build(shape, device=options.device, dtype=DTYPES[options.dtype])
    count = options.studies
    if options.engine == "reference" and options.reference_studies:
        count = options.reference_studies
    cases = studies(shape, count, PROMPT)
    spans = Spans(Stopwatch(model.device))
    extra: dict[str, Any] = {}
    if options.engine == "fast":
        extra = {
            "side_by_side": options.side_by_side,
            "during_step": lambda: spans.during("step"),
        }
    engine = {"fast": fast, "reference": reference}[options.engine]

    def run(chosen: list[Any], tokens: int | None = None) -> list[list[int]]:
        settings = decoding(options)
        if tokens:
            settings = Decoding("warm-up", num_beams=settings.num_beams, max_new_tokens=tokens)
        return engine.generate(model, chosen, settings, eos_token_ids=[2], pad_token_id=0, **extra)

    run(cases[:1], tokens=2)
    if options.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    seconds, ids = [], []
    for _ in range(options.repeat):
        spans.marks.clear()
        synchronise(options.device)
        started = time.perf_counter()
        ids = run(cases)
        synchronise(options.device)
        seconds.append(time.perf_counter() - started)
    steps = spans.seconds().get("step")
    return {
        "studies": count,
        # Of the last repetition; a GPU captures its graphs in some of them.
        "step_seconds": statistics.median(steps) if steps else None,
        "seconds": seconds,
        "reports_per_second": count / statistics.median(seconds),
        "seconds_per_report": statistics.median(seconds) / count,
        "peak_bytes": peak_bytes(options.device),
        "ids": ids,
    }


def synchronise(device: str) -> None:
    """Wait for a GPU to finish what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


def peak_bytes(device: str) -> int:
    """Peak memory: allocated on a GPU, resident on a CPU."""
    if device == "cuda":
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def device_name(device: str) -> str:
    """The device in words."""
    return torch.cuda.get_device_name() if device == "cuda" else platform.processor() or "CPU"


if __name__ == "__main__":
    main()
