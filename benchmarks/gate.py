"""How often the gate is right, simulated on real reports: false alarms and power.

    python benchmarks/gate.py --data rexrank:ReXRank_IUXray_test.json \\
        --corpus openi:NLMCXR_reports.tgz [--pairs 1000] [--samples 200] [--output reports/gate]

Studies are drawn with replacement for each pair of runs, so that no two pairs have the same ones.
Null pairs are two equal runs of one system whose answers have chance in them. The others hold a
system against itself with a fault put in. The old rule calls a run worse where a figure lies
outside the baseline's own interval; both rules answer the same pairs.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from libra_bench.data.corpora import load
from libra_bench.gate.decision import WHOLE, Pair, judge
from libra_bench.gate.settings import GateSettings
from libra_bench.metrics import registry
from libra_bench.metrics.comparison import joint
from libra_bench.metrics.temporal_f1 import keywords
from libra_bench.model.baselines import IndicationRetrieval
from libra_bench.stats.bootstrap import over_clusters
from libra_bench.stats.clusters import by_patient

METRICS = ("bleu", "rouge_l", "temporal_f1")
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5)
ANSWERS = 6
"""Equally likely answers that the system with chance in it has for each study."""
TRIALS = 2000
Change = Callable[[str], str]

_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_SIDES = {"left": "right", "right": "left"}
_NEGATION = re.compile(
    r"\b(?:no evidence of|negative for|free of|without|no|not)\s+", re.IGNORECASE
)


def sentences(text: str) -> list[str]:
    """The sentences of a report."""
    return [one for one in _SENTENCE.split(text.strip()) if one]


def without_last_sentence(text: str) -> str:
    """The report without its last sentence; a report of one sentence stays."""
    parts = sentences(text)
    return " ".join(parts[:-1]) if len(parts) > 1 else text


def other_side(text: str) -> str:
    """Left and right exchanged."""
    return re.sub(
        r"\b(left|right)\b",
        lambda found: _SIDES[found[0].lower()],
        text,
        flags=re.IGNORECASE,
    )


def without_negations(text: str) -> str:
    """The words that deny a finding dropped."""
    return _NEGATION.sub("", text)


def without_temporal_words(text: str) -> str:
    """The words that speak of change dropped."""
    kept = [word for word in text.split() if not keywords(word.lower().strip(".,;:()"))]
    return " ".join(kept)


FAULTS: dict[str, Change] = {
    "last sentence cut": without_last_sentence,
    "sides flipped": other_side,
    "negations dropped": without_negations,
    "temporal words dropped": without_temporal_words,
}


@dataclass(frozen=True)
class Statistics:
    """Of every report under several answers: by metric [answers, n, k]."""

    metrics: dict[str, np.ndarray]

    def of(self, answers: np.ndarray, studies: np.ndarray) -> list[np.ndarray]:
        """By metric [m, k]: of the chosen answer of each chosen study."""
        return [one[answers, studies] for one in self.metrics.values()]


def statistics_of(answers: Sequence[Sequence[str]], references: Sequence[str]) -> Statistics:
    """Score every answer once; all pairs are drawn from these."""
    return Statistics(
        {
            name: np.stack(
                [registry.create(name).score(texts, references).statistics for texts in answers]
            )
            for name in METRICS
        }
    )


@dataclass(frozen=True)
class Found:
    """What both rules said of one pair: figures that are called worse."""

    new: tuple[str, ...]
    old: tuple[str, ...]


def both_rules(before: list[np.ndarray], now: list[np.ndarray], seed: int, alpha: float) -> Found:
    """Judge one pair by both rules; each study is a patient."""
    metrics = [registry.create(name) for name in METRICS]
    names = [one.name for metric in metrics for one in metric.outputs]
    count = len(before[0])
    ids = [f"{row:05d}" for row in range(count)]
    pairs = [Pair(*three) for three in zip(metrics, before, now, strict=True)]
    figures, _, _ = judge(
        pairs,
        by_patient(ids, ids),
        {WHOLE: np.ones(count, dtype=bool)},
        names,
        {},
        [],
        GateSettings(alpha=alpha, trials=TRIALS, seed=seed),
    )
    finalise = joint(metrics)
    sums = np.concatenate(before, axis=1)
    bounds = over_clusters(sums, finalise, trials=1000, seed=seed, level=0.95)
    current = finalise(np.concatenate(now, axis=1).sum(axis=0))
    return Found(
        tuple(one.name for one in figures if one.verdict == "worse"),
        tuple(name for name in names if current[name] < bounds[name][0] - 1e-9),
    )


def null_pair(
    statistics: Statistics, studies: int, changing: float, alpha: float, seed: int
) -> Found:
    """Two equal runs: in a share `changing` of the studies each draws an answer of its own."""
    rng = np.random.default_rng([7, seed])
    total = next(iter(statistics.metrics.values())).shape[1]
    drawn = rng.integers(0, total, studies)
    first, second = rng.integers(0, ANSWERS, (2, studies))
    second = np.where(rng.random(studies) < changing, second, first)
    return both_rules(statistics.of(first, drawn), statistics.of(second, drawn), seed, alpha)


def faulty_pair(
    statistics: Statistics, drawn_anew: bool, share: float, alpha: float, seed: int
) -> Found:
    """A run against itself with a fault in a share of its reports: answers 0 and 1."""
    rng = np.random.default_rng([8, seed])
    total = next(iter(statistics.metrics.values())).shape[1]
    drawn = rng.integers(0, total, total) if drawn_anew else np.arange(total)
    hit = (rng.random(total) < share).astype(int)
    return both_rules(
        statistics.of(np.zeros(total, dtype=int), drawn),
        statistics.of(hit, drawn),
        seed,
        alpha,
    )


def shares_of(found: Sequence[Found]) -> dict[str, object]:
    """How often each rule raised an alarm, on anything and by figure."""
    names = [one.name for metric in METRICS for one in registry.create(metric).outputs]
    return {
        rule: {
            "any": float(np.mean([bool(getattr(one, rule)) for one in found])),
            **{
                name: float(np.mean([name in getattr(one, rule) for one in found]))
                for name in names
            },
        }
        for rule in ("new", "old")
    }


def near_the_truth(reference: str, draw: random.Random) -> str:
    """A system better than any: the radiologist's own text with a sentence left out."""
    parts = sentences(reference)
    if len(parts) > 1:
        parts.pop(draw.randrange(len(parts)))
    return " ".join(parts)


def answers_of(data: str, corpus: str) -> tuple[list[list[str]], list[str], list[str]]:
    """Answers [ANSWERS][n] of retrieval over as many parts of the corpus, those over all of it,
    and the references."""
    examples = load(data, split="test").examples
    training = load(corpus, split=None).examples
    whole = IndicationRetrieval(training, exclude=examples).answer(examples)
    random.Random(0).shuffle(training)
    found = []
    for part in range(ANSWERS):
        retrieval = IndicationRetrieval(training[part::ANSWERS], exclude=examples)
        found.append(retrieval.answer(examples))
    return found, whole, [one.reference for one in examples]


def simulate(data: str, corpus: str, pairs: int, samples: int, alpha: float) -> dict[str, object]:
    """The whole record."""
    answers, whole, references = answers_of(data, corpus)
    noisy = statistics_of(answers, references)
    draw = random.Random(1)
    systems = {
        "retrieval": whole,
        "near the truth": [near_the_truth(one, draw) for one in references],
    }
    total = len(references)
    null, power = [], []
    with ProcessPoolExecutor(2) as pool:
        for studies in (total, 60, 12):
            for changing in (0.0, 0.05, 1.0):
                work = partial(null_pair, noisy, studies, changing, alpha)
                found = list(pool.map(work, range(pairs), chunksize=50))
                row = {"studies": studies, "changing": changing, **shares_of(found)}
                null.append(row)
                print("null", row, flush=True)
        for system, texts in systems.items():
            for fault, change in FAULTS.items():
                changed = [change(one) for one in texts]
                touched = sum(a != b for a, b in zip(texts, changed, strict=True)) / total
                both = statistics_of([texts, changed], references)
                cut = fault == "last sentence cut"
                cases = [(True, share) for share in (SHARES if cut else (0.1, 0.5, 1.0))]
                cases += [(False, share) for share in SHARES if cut]
                for anew, share in cases:
                    work = partial(faulty_pair, both, anew, share, alpha)
                    found = list(pool.map(work, range(samples), chunksize=20))
                    row = {
                        "system": system,
                        "fault": fault,
                        "studies_drawn_anew": anew,
                        "share": share,
                        "touched": touched,
                        **shares_of(found),
                    }
                    power.append(row)
                    print("power", row, flush=True)
    return {
        "alpha": alpha,
        "studies": total,
        "pairs": pairs,
        "samples": samples,
        "trials": TRIALS,
        "metrics": list(METRICS),
        "null": null,
        "power": power,
    }


def page(record: dict) -> str:
    """The record as a page."""
    percent = "{:.1%}".format
    lines = [
        "# How often the gate is right",
        "",
        "Made by `python benchmarks/gate.py`; the record is [simulation.json](simulation.json).",
        f"Real reports of Indiana University ({record['studies']} studies), "
        f"{', '.join(record['metrics'])}; alpha {record['alpha']:g} for the whole gate, margin 0, "
        f"{record['trials']:,} exchanges. The old rule calls a figure worse outside the baseline's "
        "own 95 % interval. Both rules answer the same pairs of runs. "
        "[False alarms of the whole gate](shipped.md), with groups and checks of texts, are made "
        "by `python benchmarks/gate_shipped.py`.",
        "",
        "## False alarms",
        "",
        f"{record['pairs']:,} pairs of equal runs in each row, on studies drawn anew for each "
        "pair. The system draws each answer from six that are equally likely; it does so again in "
        f"a share of the studies (*changing*). At most {percent(record['alpha'])} may be alarms; "
        f"of {record['pairs']:,} pairs, chance adds up to "
        f"{percent(2 * (record['alpha'] * (1 - record['alpha']) / record['pairs']) ** 0.5)}.",
        "",
        "| studies | changing | alarms, new rule | alarms, old rule |",
        "|--:|--:|--:|--:|",
    ]
    for row in record["null"]:
        lines.append(
            f"| {row['studies']} | {row['changing']:.0%} | {percent(row['new']['any'])} | "
            f"{percent(row['old']['any'])} |"
        )
    figures = [name for name in record["power"][0]["new"] if name != "any"]
    lines += [
        "",
        "## Power",
        "",
        f"{record['samples']} pairs in each row: a system against itself with a fault in a *share* "
        "of its reports. *Touched* is the share of all reports that the fault can change at all. "
        "*As they are* keeps the studies of the collection, otherwise they are drawn anew. "
        "*Near the truth* is the radiologist's text less a sentence. Cells are the share of pairs "
        "in which a figure was called worse, new rule / old rule.",
        "",
        f"| system | fault | studies | touched | share | any | {' | '.join(figures)} |",
        f"|---|---|---|--:|--:|{'--:|' * (len(figures) + 1)}",
    ]
    for row in record["power"]:
        cells = [f"{row['new'][name]:.0%} / {row['old'][name]:.0%}" for name in ("any", *figures)]
        studies = "drawn anew" if row["studies_drawn_anew"] else "as they are"
        lines.append(
            f"| {row['system']} | {row['fault']} | {studies} | {row['touched']:.0%} | "
            f"{row['share']:.0%} | {' | '.join(cells)} |"
        )
    lines += [
        "",
        "Where no figure falls, there is no alarm to raise: in texts that were retrieved from "
        "other patients, sides and words of change are as often right after the fault as before. "
        "The wording falls long before the findings are wrong and the other way round; a gate on "
        "findings needs metrics that read them (`radgraph`, `chexbert`).",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Simulate, and write record and page where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--alpha", type=float, default=0.05)
    parser.add_argument("--output", type=Path)
    asked = parser.parse_args()
    record = simulate(asked.data, asked.corpus, asked.pairs, asked.samples, asked.alpha)
    if asked.output:
        asked.output.mkdir(parents=True, exist_ok=True)
        text = json.dumps(record, indent=1) + "\n"
        (asked.output / "simulation.json").write_text(text, encoding="utf-8")
        (asked.output / "README.md").write_text(page(record), encoding="utf-8")


if __name__ == "__main__":
    main()
