"""The measurements behind `reports/`, one process each; those that are there already are skipped.

A disturbed record (`Record.disturbed`: uneven repetitions, or a busy machine) is measured again,
and taken away where that does not help. No record is chosen by its value.

    python benchmarks/sweep.py cpu reports/perf --pages reports   # minutes on two cores
    python benchmarks/sweep.py gpu reports/perf --pages reports   # Libra-7B's shape in bfloat16

A run that fails (out of memory, say) is told and left out; the others go on, and the pages are
written. What stands behind `--` is handed to each `perf measure` and prevails, so that the whole
GPU suite can be tried at a small shape without a GPU:

    python benchmarks/sweep.py gpu trial -- --shape micro --device cpu --dtype float32 \\
        --tokens 2 --seconds 0 --repetitions 1 --warm-up 0
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from libra_bench.perf.record import read

Arguments = list[str]
ATTEMPTS = 3


def cpu() -> Iterator[tuple[str, Arguments]]:
    """The small shape: both engines, batch sizes and beams; both stages."""
    common = ["--shape", "cpu", "--device", "cpu", "--tokens", "32", "--seconds", "0"]
    for beams in (1, 5, 10):
        search = ["--protocol", "libra-paper", "--num-beams", str(beams)]
        for size in (1, 2, 4, 8):
            yield (
                f"cpu-fast-beams{beams}-batch{size}",
                [*common, *search, "--studies", str(size), "--batch-size", str(size)],
            )
        yield (
            f"cpu-reference-beams{beams}",
            [*common, *search, "--engine", "reference", "--studies", "1", "--repetitions", "2"],
        )
    for stage in ("align", "finetune"):
        yield (
            f"cpu-{stage}",
            [
                "--shape",
                "cpu",
                "--device",
                "cpu",
                "--stage",
                stage,
                "--batch",
                "2",
                "--seconds",
                "0",
            ],
        )


def gpu() -> Iterator[tuple[str, Arguments]]:
    """Libra-7B's shape: both engines under both protocols, both stages, both attentions."""
    common = ["--shape", "libra-7b", "--device", "cuda", "--dtype", "bfloat16"]
    attentions = ["sdpa"]
    if importlib.util.find_spec("flash_attn"):
        attentions.append("flash_attention_2")
    for attention in attentions:
        shared = [*common, "--attention", attention]
        for protocol in ("libra-paper", "greedy"):
            named = [*shared, "--protocol", protocol, "--tokens", "128"]
            for size in (1, 4, 8, 16, 32, 64):
                yield (
                    f"gpu-{attention}-fast-{protocol}-batch{size}",
                    [*named, "--studies", str(size), "--batch-size", str(size), "--seconds", "5"],
                )
            yield (
                f"gpu-{attention}-reference-{protocol}",
                [*named, "--engine", "reference", "--studies", "2"],
            )
        for stage in ("align", "finetune"):
            for micro in (1, 2, 4):
                for recompute in (False, True):
                    name = f"gpu-{attention}-{stage}-micro{micro}{'-recompute' * recompute}"
                    steps = ["--stage", stage, "--batch", "16", "--micro-batch", str(micro)]
                    yield name, [*shared, *steps, *["--recompute"] * recompute]


def measured(path: Path, arguments: Arguments) -> bool:
    """Measure into `path`; whether an undisturbed record lies there now."""
    path.unlink(missing_ok=True)
    for _ in range(ATTEMPTS):
        # A process each: its peak memory is its own.
        if not libra_bench("measure", *arguments, "--output", str(path)):
            return False
        if not read(path).disturbed:
            return True
    path.unlink()
    print(f"{path.stem}: disturbed {ATTEMPTS} times", file=sys.stderr)
    return False


def libra_bench(*arguments: str) -> bool:
    """Run a `perf` command; whether it went well."""
    command = [sys.executable, "-m", "libra_bench", "perf", *arguments]
    return subprocess.run(command, check=False).returncode == 0


def main(given: Sequence[str] | None = None) -> None:
    """Run what is missing, then write the pages."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("suite", choices=SUITES)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pages", type=Path, help="a folder for README.md, perf.html and figures")
    words = list(sys.argv[1:] if given is None else given)
    own = words.index("--") if "--" in words else len(words)
    options, more = parser.parse_args(words[:own]), words[own + 1 :]
    options.folder.mkdir(parents=True, exist_ok=True)
    failed = []
    runs = list(SUITES[options.suite]())
    for number, (name, arguments) in enumerate(runs, start=1):
        path = options.folder / f"{name}.json"
        if path.exists() and not read(path).disturbed:
            continue
        print(f"{number} of {len(runs)}: {name}", file=sys.stderr, flush=True)
        if not measured(path, [*arguments, *more]):
            failed.append(name)
    if options.pages is not None:
        pages = ("--records", str(options.folder), "--output", str(options.pages))
        if not libra_bench("report", *pages):
            failed.append("the pages")
    if failed:
        raise SystemExit(f"not measured: {', '.join(failed)}")


SUITES = {"cpu": cpu, "gpu": gpu}


if __name__ == "__main__":
    main()
