"""Published numbers, and whether they may stand beside a run's own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from libra_bench.report.load import Summary


class PublishedRow(BaseModel):
    """One model's published figures; an output that was not published is absent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    certainty: Literal["H", "M", "L"]
    """H: read in code or counted; M: second-hand; L: unverified."""
    source: str
    values: dict[str, Decimal]
    """With the digits that the source prints, and no more."""


class PublishedTable(BaseModel):
    """Figures that hold under stated conditions only."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    source: str
    conditions: dict[str, str | int]
    """What a run must be for its own figures to stand beside these."""
    notes: list[str]
    columns: dict[str, str]
    """Output name → the title that the source prints."""
    rows: list[PublishedRow]


@dataclass(frozen=True)
class NotComparable:
    """Why no published number stands beside a run's own."""

    differences: tuple[str, ...]
    """Each condition that is not met: what the run has, what the published numbers have."""

    def __str__(self) -> str:
        return "; ".join(self.differences)


@cache
def libra_table() -> PublishedTable:
    """The figures of Libra's paper on MIMIC-CXR findings."""
    return PublishedTable.model_validate(_data("libra_mimic_cxr_findings.json"))


def row_of(repository: str) -> PublishedRow | None:
    """The published figures of a model, by its repository's name; None where there are none."""
    name = repository.partition("@")[0].rpartition("/")[2].lower()
    return next((row for row in libra_table().rows if row.model.lower() == name), None)


@cache
def rexrank_note() -> str:
    """Why figures of the ReXrank leaderboard are never shown beside others."""
    return str(_data("rexrank.json")["note"])


def comparable(summary: Summary) -> PublishedTable | NotComparable:
    """The published table whose every condition the run meets, or the conditions it does not.

    Profile, decoding protocol, dataset, split, section, prior policy and the number of reports
    must all be the same: a figure under other conditions is another quantity.
    """
    table = libra_table()
    run = summary.run
    actual = {
        "cohort": run.cohort,
        "split": run.split,
        "section": run.section,
        "profile": run.profile,
        "protocol": run.protocol.name,
        "prior_policy": run.prior_policy,
        "n": summary.n,
    }
    differences = tuple(
        f"{name.replace('_', ' ')}: {_plain(actual[name])} here, {_plain(wanted)} there"
        for name, wanted in table.conditions.items()
        if actual[name] != wanted
    )
    return NotComparable(differences) if differences else table


def _plain(value: str | int | None) -> str:
    # "None" would read like the prior policy of that name.
    if value is None:
        return "not stated"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _data(name: str) -> Any:
    folder = resources.files("libra_bench.report") / "published"
    return json.loads((folder / name).read_text(encoding="utf-8"))
