"""How fast metrics score, and how much faster than the packages that published them.

    python benchmarks/metrics.py PAIRS.jsonl [--count 200] [--upstream PYTHON] [--output FILE.json]

PAIRS.jsonl holds `prediction` and `reference`. PYTHON belongs to an environment with RaTEScore
0.6.0 and radgraph 0.1.18, for example `.tox/oracle/bin/python` after `tox -e oracle --notest`.
Neural metrics run at base size on random weights; nothing is cached before. Loading is not counted.
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
from pathlib import Path
from typing import Any


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("pairs", type=Path)
    options.add_argument("--count", type=int, default=200)
    options.add_argument("--upstream", type=Path)
    options.add_argument("--output", type=Path)
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--metrics", default="")
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
    os.environ["LIBRA_BENCH_CACHE"] = str(folder / "cache")
    import torch
    import transformers
    from metric_models import write_radgraph, write_ratescore

    from libra_bench.metrics import registry
    from libra_bench.metrics.radgraph.metric import RadGraph
    from libra_bench.metrics.ratescore.metric import RaTEScore

    torch.set_num_threads(threads)
    texts = [text for side in pairs.values() for text in side]
    neural = {}
    if not chosen or "ratescore" in chosen:
        ner, encoder = write_ratescore(folder / "ratescore", texts)
        neural["ratescore"] = RaTEScore(str(ner), str(encoder))
    if not chosen or "radgraph" in chosen:
        archive = write_radgraph(folder / "radgraph", texts)
        neural["radgraph"] = RadGraph(str(archive), lowercase="false")
    names = chosen or [*registry.core("libra")]
    plain = {name: registry.create(name) for name in names if name not in neural}
    record: dict[str, Any] = {}
    for name, metric in {**plain, **neural}.items():
        metric.check()
        metric.score(["No effusion was seen."], ["A small effusion."])  # loads what is loaded
        start = time.perf_counter()
        report = metric.score(pairs["predictions"], pairs["references"])
        seconds = time.perf_counter() - start
        start = time.perf_counter()
        metric.score(pairs["predictions"], pairs["references"])
        again = time.perf_counter() - start
        record[name] = {
            "seconds": seconds,
            "pairs_per_second": len(pairs["references"]) / seconds,
            "seconds_again": again,
        }
        if name in neural and upstream:
            theirs = run_upstream(upstream, name, folder, pairs)
            own = [list(report.values[key] / 100) for key in list(report.values)[:3]]
            own = own if name == "radgraph" else own[:1]
            published = theirs["scores"][:3] if name == "radgraph" else [theirs["scores"]]
            equal = [
                abs(one - other) < 1e-5
                for mine, level in zip(own, published, strict=True)
                for one, other in zip(mine, level, strict=True)
            ]
            record[name]["package_seconds"] = theirs["seconds"]
            record[name]["speedup"] = theirs["seconds"] / seconds
            record[name]["equal_scores"] = sum(equal) / len(equal)
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    device = {"machine": platform.machine(), "python": platform.python_version()}
    return {"metrics": record, **versions, **device}


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
