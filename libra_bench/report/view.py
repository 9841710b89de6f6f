"""What a page shows of a run, the same for every format."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from libra_bench.report.load import Figure, Interval, Run
from libra_bench.report.marks import Pair, pair
from libra_bench.report.published import NotComparable, PublishedTable, comparable

# Examples are ranked by the first of these that was scored; otherwise by the first figure.
RANKED_BY = ("rouge_l", "meteor", "bleu4")
EXAMPLES_EACH = 2
FAILURES_SHOWN = 50


@dataclass(frozen=True)
class Group:
    """One row of the subgroup table."""

    label: str
    n: int
    metrics: Mapping[str, Interval]


@dataclass(frozen=True)
class Failure:
    """A report that could not be generated."""

    question_id: str
    error: str


@dataclass(frozen=True)
class Page:
    """The content of a page."""

    run: Run
    facts: list[tuple[str, str]]
    """What was run, as label and value."""
    figures: dict[str, Figure]
    groups: list[Group]
    published: PublishedTable | None
    not_comparable: NotComparable | None
    ranked_by: Figure | None
    pairs: list[Pair]
    failures: list[Failure]
    failures_left_out: int
    details: dict[str, list[tuple[str, str]]]
    """Parts of the manifest, each as name and value."""

    @property
    def trained(self) -> bool:
        """False where the weights are random and no score means anything."""
        return self.run.summary.run.trained

    @property
    def resampled(self) -> str:
        """What the intervals were made from, in words."""
        drawn = self.run.summary.resampled
        return str(drawn) if drawn else "what was resampled is not recorded"


def build(run: Run) -> Page:
    """The content of a run's page."""
    verdict = comparable(run.summary)
    ranked_by, pairs = _pairs(run)
    failed = [one for one in run.predictions.values() if one.status == "failed"]
    shown = failed[:FAILURES_SHOWN]
    return Page(
        run=run,
        facts=_facts(run),
        figures=run.summary.metrics,
        groups=_groups(run),
        published=verdict if isinstance(verdict, PublishedTable) else None,
        not_comparable=verdict if isinstance(verdict, NotComparable) else None,
        ranked_by=ranked_by,
        pairs=pairs,
        failures=[Failure(one.question_id, one.error or "no reason recorded") for one in shown],
        failures_left_out=len(failed) - len(shown),
        details={
            title: flatten(run.manifest[key])
            for key, title in (
                ("arguments", "Arguments as given"),
                ("resolved", "Arguments as resolved"),
                ("versions", "Versions"),
                ("source", "Source checkout"),
                ("machine", "Machine"),
                ("hashes", "SHA-256"),
                ("seeds", "Seeds"),
            )
            if run.manifest.get(key)
        },
    )


def number(value: float | None, digits: int = 2) -> str:
    """A figure for a table; a dash where there is none. Files keep full precision."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:.{digits}f}".replace("-", "−")


def interval(figure: Interval) -> str:
    """`low – high`, or a dash."""
    if figure.low is None or figure.high is None:
        return "–"
    return f"{number(figure.low)} – {number(figure.high)}"


def flatten(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as dotted names with values, in their own order."""
    if isinstance(value, Mapping) and value:
        return [
            row
            for key, item in value.items()
            for row in flatten(item, f"{prefix}.{key}" if prefix else str(key))
        ]
    if isinstance(value, list) and all(not isinstance(item, dict | list) for item in value):
        value = ", ".join(str(item) for item in value)
    return [(prefix, "–" if value is None or value == "" else str(value))]


def _facts(run: Run) -> list[tuple[str, str]]:
    summary, facts = run.summary, run.summary.run
    speed = number(summary.reports_per_second)
    parts = {
        "Model": facts.model
        if facts.model == facts.model_id
        else f"{facts.model} ({facts.model_id})",
        "Data": facts.cohort if facts.cohort == facts.data else f"{facts.cohort} ({facts.data})",
        "Split": facts.split,
        "Section": facts.section,
        "Prior policy": facts.prior_policy,
        "Decoding": facts.protocol.name,
        "Decoding settings": ""
        if facts.protocol.signature == facts.protocol.name
        else facts.protocol.signature.replace(",", ", "),
        "Metric profile": facts.profile,
        "Reports": f"{summary.n:,} ({summary.with_prior:,} with a prior image)",
        "Generated": f"{summary.generated:,}, failed {summary.failed:,}",
        "Generation": f"{number(summary.seconds, 1)} s, {speed} reports/s",
        "Engine": " on ".join(part for part in (facts.engine, facts.device) if part),
        "Run": f"{facts.id}, {facts.created}, {facts.status}",
    }
    return [(label, value) for label, value in parts.items() if value]


_GROUPS = {
    ("has_prior", "True"): "with prior",
    ("has_prior", "False"): "without prior",
    ("abnormal", "True"): "abnormal",
    ("abnormal", "False"): "normal",
}
_RANGES = {
    "days_to_prior": "{} days since the prior",
    "reference_words": "{} words in the reference",
}


def _groups(run: Run) -> list[Group]:
    return [
        Group(_label(group.column, group.value), group.n, group.metrics)
        for group in run.summary.subgroups
    ]


def _label(column: str, value: str) -> str:
    if column in _RANGES:
        return _RANGES[column].format(value)
    return _GROUPS.get((column, value), f"{column} {value}")


def _pairs(run: Run) -> tuple[Figure | None, list[Pair]]:
    """A few of the best, the middle and the worst reports, best first; none stands twice."""
    columns = [
        name
        for name in (*RANKED_BY, *run.summary.metrics)
        if name in run.summary.metrics and name in run.scores and run.scores[name].notna().any()
    ]
    if not columns:
        return None, []
    name = columns[0]
    figure = run.summary.metrics[name]
    # A stable sort over ids first: equal scores come in the same order on every machine.
    ranked = (
        run.scores[name]
        .dropna()
        .sort_index()
        .sort_values(ascending=not figure.higher_is_better, kind="stable")
    )
    count = len(ranked)
    middle = max(count // 2 - EXAMPLES_EACH // 2, 0)
    places = {
        "best": range(EXAMPLES_EACH),
        "median": range(middle, middle + EXAMPLES_EACH),
        "worst": range(count - EXAMPLES_EACH, count),
    }
    chosen: dict[int, str] = {}
    for rank, rows in places.items():
        for row in rows:
            if 0 <= row < count:
                chosen.setdefault(row, rank)
    pairs = [
        pair(run.examples[key], run.predictions[key], rank, float(ranked.iloc[row]))
        for row, rank in sorted(chosen.items())
        for key in [str(ranked.index[row])]
    ]
    return figure, pairs


def image_root(run: Run) -> Path | None:
    """Where the run's images lie, if it had any."""
    root = (run.manifest.get("resolved") or {}).get("image_root")
    return Path(root) if root else None
