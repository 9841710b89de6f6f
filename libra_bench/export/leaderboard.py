"""A row of a ReXrank leaderboard table."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from libra_bench.core.errors import InputError
from libra_bench.core.files import listing, write_atomic
from libra_bench.runs.folder import RunFolder

HEADER = (
    "Rank",
    "Date",
    "Model Name",
    "Institution",
    "Model URL",
    "BLEU",
    "BertScore",
    "SembScore",
    "RadGraph",
    "1/RadCliQ-v1",
    "RaTEScore",
    "GREEN",
)
"""The columns as the official pipeline (rajpurkarlab/ReXrank-metric) writes them now."""
HEADERS = (HEADER, (*HEADER, "1/FineRadScore"))
"""Every header of the official tables, the newest first: those of 2025 have one column more."""
PROFILE = "rexrank"


def _fraction(percent: float) -> float:
    return percent / 100.0


def _inverse(value: float) -> float:
    # The leaderboard inverts the mean, not each report's figure; near 0 it has no meaning.
    if value <= 0:
        raise InputError(f"1/RadCliQ-v1: the mean RadCliQ-v1 is {value:g}, so it has no inverse")
    return 1.0 / value


# Column → the suite's output and how it becomes the leaderboard's figure. FineRadScore, which older
# tables have, is judged by a language model behind a service that this suite does not call.
COLUMNS: dict[str, tuple[str, Callable[[float], float]]] = {
    "BLEU": ("bleu2", _fraction),
    "BertScore": ("bertscore", _fraction),
    "SembScore": ("semb", _fraction),
    "RadGraph": ("radgraph", _fraction),
    "1/RadCliQ-v1": ("radcliq", _inverse),
    "RaTEScore": ("ratescore", _fraction),
    "GREEN": ("green", _fraction),
}


def leaderboard_row(
    summary: Mapping[str, Any], *, name: str, institution: str, url: str, date: str
) -> dict[str, str]:
    """A run's figures under the leaderboard's header, on its scale with its three decimals.

    `Rank` is the leaderboard's to fill; a metric that was not scored stays empty.

    Args:
        summary: a run's `summary.json`.

    Raises:
        InputError: figures of another profile than `rexrank`; random weights; a figure that
            leaves reports out, which the leaderboard's do not.
    """
    run, figures = summary["run"], summary["metrics"]
    faults = []
    if run["profile"] != PROFILE:
        faults.append(f"profile is {run['profile']!r}; only figures of {PROFILE!r} may enter")
    if not run["trained"]:
        faults.append("the model is untrained: its scores mean nothing")
    scored = {
        column: figures[output]
        for column, (output, _) in COLUMNS.items()
        if output in figures and figures[output]["value"] is not None
    }
    faults += [
        f"{column}: {figure['unscored']} reports are not scored"
        for column, figure in scored.items()
        if figure["unscored"]
    ]
    if faults:
        raise InputError(f"no leaderboard row: {listing(faults)}")
    about = {"Date": date, "Model Name": name, "Institution": institution, "Model URL": url}
    cells = {
        column: f"{COLUMNS[column][1](figure['value']):.3f}" for column, figure in scored.items()
    }
    return dict.fromkeys(HEADER, "") | about | cells


def write_leaderboard_row(
    run_dir: Path, output: Path, *, name: str, institution: str, url: str, date: str
) -> None:
    """Write a scored run's row, below the leaderboard's header, as CSV.

    Raises:
        InputError: as `leaderboard_row`; no run folder; a run that was not scored.
    """
    summary = RunFolder.open(run_dir).summary()
    row = leaderboard_row(summary, name=name, institution=institution, url=url, date=date)
    text = io.StringIO()
    writer = csv.DictWriter(text, HEADER, lineterminator="\n")
    writer.writeheader()
    writer.writerow(row)
    write_atomic(output, text.getvalue())
