"""How often a 95 % interval holds the true figure, by number of patients.

    python benchmarks/coverage.py [--samples 2000] [--output reports/statistics/coverage.json]

Patients are drawn from populations whose mean is known, each with 1 to some 10 reports that
resemble each other; the figure is the mean over reports. Both methods answer the same samples.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from libra_bench.stats import bootstrap, small
from libra_bench.stats.resampling import replicates

LEVEL, TRIALS, REPORTS = 0.95, 1000, 4
PATIENTS = (2, 5, 10, 20, 50, 100, 200)
Sampler = Callable[[np.random.Generator, int, int], np.ndarray]


def normal(rng: np.random.Generator, patients: int, reports: int) -> np.ndarray:
    """Scores around 50 that spread as much between patients as within."""
    return rng.normal(rng.normal(50, 10, (patients, 1)), 10, (patients, reports))


def skewed(rng: np.random.Generator, patients: int, reports: int) -> np.ndarray:
    """Most scores small, a few large."""
    return np.exp(rng.normal(rng.normal(0, 1, (patients, 1)), 0.5, (patients, reports)))


def rare(rng: np.random.Generator, patients: int, reports: int) -> np.ndarray:
    """An event in one report of ten, mostly in the same patients."""
    return (rng.random((patients, reports)) < rng.beta(0.3, 2.7, (patients, 1))).astype(float)


POPULATIONS: dict[str, tuple[Sampler, float]] = {
    "normal": (normal, 50.0),
    # The mean of a log-normal variable: exp(variance / 2).
    "skewed": (skewed, float(np.exp((1 + 0.25) / 2))),
    "rare": (rare, 0.1),
}


def mean(sums: np.ndarray) -> dict[str, np.ndarray]:
    """The mean over reports from sums and counts."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return {"mean": sums[..., 0] / sums[..., 1]}


def percentile(sums: np.ndarray, seed: int) -> tuple[float, float]:
    """The percentile interval, whatever the number of patients."""
    return bootstrap.percentiles(mean(replicates(sums, TRIALS, seed))["mean"], LEVEL)


def studentised(sums: np.ndarray, seed: int) -> tuple[float, float]:
    """The interval for few patients, whatever their number."""
    return small.studentised(sums, mean, trials=TRIALS, seed=seed, level=LEVEL)["mean"]


METHODS = {"percentile": percentile, "studentised": studentised}


def measure(sampler: Sampler, truth: float, patients: int, samples: int) -> dict[str, float]:
    """The share of samples whose interval holds the truth, by method, and the median widths."""
    rng = np.random.default_rng([patients, samples])
    hits = dict.fromkeys(METHODS, 0)
    widths: dict[str, list[float]] = {name: [] for name in METHODS}
    for seed in range(samples):
        counts = 1 + rng.poisson(REPORTS, patients)
        scores = sampler(rng, patients, int(counts.max()))
        there = np.arange(counts.max()) < counts[:, None]
        sums = np.stack([(scores * there).sum(axis=1), counts], axis=1).astype(float)
        for name, method in METHODS.items():
            low, high = method(sums, seed)
            hits[name] += low <= truth <= high
            widths[name].append(high - low)
    return {f"{name}_coverage": hits[name] / samples for name in METHODS} | {
        f"{name}_width": float(np.median(widths[name])) for name in METHODS
    }


def main() -> None:
    """Print the table, and write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--patients", type=int, nargs="+", default=list(PATIENTS))
    parser.add_argument("--output", type=Path)
    asked = parser.parse_args()
    rows = []
    for patients in asked.patients:
        for name, (sampler, truth) in POPULATIONS.items():
            found = measure(sampler, truth, patients, asked.samples)
            rows.append({"patients": patients, "population": name, **found})
            shown = "  ".join(f"{key} {value:.3g}" for key, value in found.items())
            print(f"{patients:4d} {name:7s} {shown}", flush=True)
    if asked.output:
        asked.output.parent.mkdir(parents=True, exist_ok=True)
        record = {"level": LEVEL, "trials": TRIALS, "samples": asked.samples, "rows": rows}
        asked.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
