"""How fast metrics score, and how much faster than the packages that published them.

    python benchmarks/metrics.py PAIRS.jsonl [--count 200] [--upstream PYTHON] [--output FILE.json]
                                             [--metrics radgraph,coco/cider]

PAIRS.jsonl holds `prediction` and `reference`. PYTHON belongs to an environment with RaTEScore
0.6.0 and radgraph 0.1.18: `.tox/oracle/upstream/bin/python` after `tox -e oracle --notest`.
Every metric of every profile is measured, but GREEN, whose speed is its language model's. Neural
metrics run at base size on random weights; nothing is cached before. Loading is not counted, and
parts that metrics share are read once for each of them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from functools import cached_property
from pathlib import Path
from typing import Any

import metric_models

PACKAGED = ("ratescore", "radgraph")
"""What `upstream_metrics.py` can ask the published packages."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("pairs", type=Path)
    options.add_argument("--count", type=int, default=200)
    options.add_argument("--upstream", type=Path)
    options.add_argument("--output", type=Path)
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--metrics", default="", help="names, `profile/name` outside libra")
    given = options.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(given.threads)
    rows = [json.loads(line) for line in given.pairs.read_text().splitlines()][: given.count]
    pairs = {side: [row[side[:-1]] for row in rows] for side in ("predictions", "references")}
    chosen = [name for name in given.metrics.split(",") if name]
    with tempfile.TemporaryDirectory() as folder:
        record = measure(Path(folder), pairs, given.upstream, given.threads, chosen)
    text = json.dumps({"pairs": len(rows), "threads": given.threads, **record}, indent=1)
    if given.output:
        given.output.parent.mkdir(parents=True, exist_ok=True)
        given.output.write_text(text + "\n")
    print(text)


def measure(
    folder: Path,
    pairs: dict[str, list[str]],
    upstream: Path | None,
    threads: int,
    chosen: list[str],
) -> dict[str, Any]:
    """Seconds and pairs per second by metric, and ratios to the packages."""
    import torch
    import transformers

    from libra_bench.core.errors import MissingResourceError
    from libra_bench.metrics import registry

    torch.set_num_threads(threads)
    models = _Models(folder, [text for side in pairs.values() for text in side])
    record: dict[str, Any] = {}
    for place in chosen or every_metric():
        profile, _, name = place.rpartition("/")
        profile = profile or "libra"
        # A store of its own: what one metric has read, another would find there.
        os.environ["LIBRA_BENCH_CACHE"] = str(folder / "cache" / profile / name)
        metric = registry.create(name, profile, models.options(name, profile))
        try:
            metric.check()
        except MissingResourceError as gap:
            record[place] = {"not measured": str(gap)}
            continue
        metric.score(["No effusion was seen."], ["A small effusion."])  # loads what is loaded
        start, start_cpu = time.perf_counter(), time.process_time()
        report = metric.score(pairs["predictions"], pairs["references"])
        seconds, processor = time.perf_counter() - start, time.process_time() - start_cpu
        start = time.perf_counter()
        metric.score(pairs["predictions"], pairs["references"])
        again = time.perf_counter() - start
        record[place] = {
            "seconds": seconds,
            "processor_seconds": processor,
            "pairs_per_second": len(pairs["references"]) / seconds,
            "seconds_again": again,
        }
        if place in PACKAGED and upstream:
            theirs = run_upstream(upstream, name, folder, pairs)
            own = [list(report.values[key] / 100) for key in list(report.values)[:3]]
            own = own if name == "radgraph" else own[:1]
            published = theirs["scores"][:3] if name == "radgraph" else [theirs["scores"]]
            equal = [
                abs(one - other) < 1e-5
                for mine, level in zip(own, published, strict=True)
                for one, other in zip(mine, level, strict=True)
            ]
            record[place]["package_seconds"] = theirs["seconds"]
            record[place]["speedup"] = theirs["seconds"] / seconds
            # Other work on the machine disturbs this one less.
            record[place]["package_processor_seconds"] = theirs["processor_seconds"]
            record[place]["processor_speedup"] = theirs["processor_seconds"] / processor
            record[place]["equal_scores"] = sum(equal) / len(equal)
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    device = {"machine": platform.machine(), "python": platform.python_version()}
    return {"metrics": record, **versions, **device}


def every_metric() -> list[str]:
    """All metrics as `profile/name`; those of libra by their names alone."""
    from libra_bench.metrics import registry

    return [
        name if profile == "libra" else f"{profile}/{name}"
        for profile in registry.PROFILES
        for name in registry.names(profile)
        if name != "green"
    ]


class _Models:
    """Random models of base size, each written when a metric asks for it."""

    def __init__(self, folder: Path, texts: list[str]) -> None:
        self._folder, self._texts = folder, texts

    def options(self, name: str, profile: str) -> dict[str, dict[str, str]]:
        """Options by metric, of what a metric and its parts need."""
        if name == "radcliq":
            parts = ("radgraph", "bertscore", "semb")
            return {key: value for part in parts for key, value in self._own(part, profile)}
        return dict(self._own(name, profile))

    def _own(self, name: str, profile: str) -> list[tuple[str, dict[str, str]]]:
        if name == "ratescore":
            ner, encoder = self._ratescore
            return [(name, {"ner": str(ner), "encoder": str(encoder)})]
        if name == "radgraph":
            # As the package compares.
            case = {"lowercase": "false"} if profile == "libra" else {}
            return [(name, {"archive": str(self._radgraph), **case})]
        if name == "bertscore":
            return [(name, {"model": str(self._encoder)})]
        if name in ("chexbert", "semb"):
            checkpoint, encoder = self._chexbert
            return [("chexbert", {"checkpoint": str(checkpoint), "encoder": str(encoder)})]
        return []

    @cached_property
    def _ratescore(self) -> tuple[Path, Path]:
        return metric_models.write_ratescore(self._folder / "ratescore", self._texts)

    @cached_property
    def _radgraph(self) -> Path:
        return metric_models.write_radgraph(self._folder / "radgraph", self._texts)

    @cached_property
    def _encoder(self) -> Path:
        return metric_models.write_encoder(self._folder / "bertscore", self._texts)

    @cached_property
    def _chexbert(self) -> tuple[Path, Path]:
        return metric_models.write_chexbert(self._folder / "chexbert", self._texts)


def run_upstream(python: Path, name: str, folder: Path, pairs: dict[str, Any]) -> dict[str, Any]:
    """What a package says and how long it takes."""
    (folder / "pairs.json").write_text(json.dumps(pairs))
    script = Path(__file__).with_name("upstream_metrics.py")
    command = [str(python), str(script), name, str(folder / name), str(folder / "pairs.json")]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"{python} {name} failed")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


if __name__ == "__main__":
    main()
