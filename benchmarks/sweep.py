"""The measurements behind `reports/`, one process each; those that are there already are skipped.

A disturbed record (`Record.disturbed`: uneven repetitions, or a busy machine) is measured again,
and taken away where that does not help. No record is chosen by its value.

    python benchmarks/sweep.py cpu reports/perf      # minutes on two cores, the small shape
    python benchmarks/sweep.py gpu reports/perf      # Libra-7B's shape in bfloat16, random weights
    libra-bench perf report --records reports/perf --output reports

A run that fails (out of memory, say) is told and left out; the others go on.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
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
    # A process each: its peak memory is its own.
    command = [sys.executable, "-m", "libra_bench", "perf", "measure", *arguments]
    path.unlink(missing_ok=True)
    for _ in range(ATTEMPTS):
        if subprocess.run([*command, "--output", str(path)], check=False).returncode:
            return False
        if not read(path).disturbed:
            return True
    path.unlink()
    print(f"{path.stem}: disturbed {ATTEMPTS} times", file=sys.stderr)
    return False


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("suite", choices=("cpu", "gpu"))
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    failed = []
    runs = list({"cpu": cpu, "gpu": gpu}[options.suite]())
    for number, (name, arguments) in enumerate(runs, start=1):
        path = options.folder / f"{name}.json"
        if path.exists() and not read(path).disturbed:
            continue
        print(f"{number} of {len(runs)}: {name}", file=sys.stderr, flush=True)
        if not measured(path, arguments):
            failed.append(name)
    if failed:
        raise SystemExit(f"not measured: {', '.join(failed)}")


if __name__ == "__main__":
    main()
