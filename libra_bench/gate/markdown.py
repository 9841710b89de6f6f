"""The answer of the gate for people: a Markdown table, and annotations for GitHub."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from libra_bench.core.outputs import starts_with
from libra_bench.gate.judgement import Judgement, Outcome

MARKS = {"worse": "❌", "better": "✅", "same": "✅", "undecided": "❔"}
WORDS = {
    "worse": "worse than the baseline",
    "better": "better than the baseline",
    "same": "the same as the baseline",
    "undecided": "undecided: no figure is worse, and not all can be told apart",
}
TITLE = "## Gate "
LONGEST = 400
"""Characters of a text that are shown."""


def is_ours(path: Path) -> bool:
    """Whether a file is empty, or one that `markdown` made."""
    return not path.stat().st_size or starts_with(path, TITLE.encode())


def markdown(outcome: Outcome, link: str | None = None) -> str:
    """The outcome as a page of GitHub's Markdown.

    Args:
        link: where the run's pages lie: a report, a browser's folder, an artifact.
    """
    state = "failed" if outcome.failing else "passed"
    lines = [
        f"{TITLE}{state}: {WORDS[outcome.verdict]}",
        "",
        f"`{outcome.run}` against `{outcome.baseline}`, alpha {outcome.alpha:g} over all figures",
        *([f", [browse the run]({link})"] if link else []),
        "",
        "| | figure | baseline | now | difference | interval | p (corrected) | detectable |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
        *(_row(one) for one in outcome.all),
        "",
    ]
    for one in outcome.all:
        if outcome.fails(one):
            lines += [f"**{_cell(one.title)}**: {_cell(one.reason)}", "", *_studies(one)]
    lines += [f"- {_cell(note)}" for note in outcome.notes]
    return "\n".join(lines).rstrip() + "\n"


def _row(one: Judgement) -> str:
    digits = one.digits
    interval = (
        f"{one.low:+.{digits}f} to {one.high:+.{digits}f}"
        if one.low is not None and one.high is not None and one.low == one.low
        else ""
    )
    arrow = {True: " ↑", False: " ↓", None: ""}[one.higher_is_better]
    cells = [
        f"{MARKS[one.verdict]} {one.verdict}",
        _cell(one.title) + arrow,
        _number(one.baseline, digits),
        _number(one.current, digits),
        "" if one.difference is None else f"{one.difference:+.{digits}f}",
        interval,
        "" if one.p is None else f"{one.p:.3g}",
        _number(one.detectable, digits),
    ]
    return f"| {' | '.join(cells)} |"


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None or value != value else f"{value:.{digits}f}"


def _studies(one: Judgement) -> list[str]:
    """A table of the studies that moved a figure most."""
    if not one.moved:
        return []
    texts = any(study.text is not None for study in one.moved)
    head = "| study | influence |" + (" text now | reference |" if texts else "")
    lines = [head, "|---|--:|" + ("---|---|" if texts else "")]
    for study in one.moved:
        row = f"| {_code(study.id)} | {study.influence:+.3f} |"
        if texts:
            row += f" {_cell(study.text or '')} | {_cell(study.reference or '')} |"
        lines.append(row)
    return [*lines, ""]


def _cell(text: str) -> str:
    """A text that breaks no table and makes no markup."""
    flat = " ".join(text.split())
    shown = flat if len(flat) <= LONGEST else flat[:LONGEST] + " …"
    for mark in "\\|<>`*_[]":
        shown = shown.replace(mark, f"\\{mark}" if mark not in "<>" else f"&{'lg'[mark == '>']}t;")
    return shown


def _code(text: str) -> str:
    """A text as code, in which nothing but the bar needs a mark of its own."""
    return f"`{' '.join(text.replace('`', chr(39)).split())}`".replace("|", "\\|")


def error_lines(outcome: Outcome) -> list[str]:
    """GitHub's workflow commands: an error for each failing figure."""
    return [
        f"::error title={_property(f'{one.title}: {one.verdict}')}::{_data(_message(one))}"
        for one in outcome.failing
    ]


def _message(one: Judgement) -> str:
    ids = ", ".join(study.id for study in one.moved)
    return one.reason + (f"; moved most: {ids}" if ids else "")


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def to_github(page: str, environment: Mapping[str, str] = os.environ) -> Path | None:
    """Add a page to the summary of the job, where GitHub runs it; the file, or None."""
    place = environment.get("GITHUB_STEP_SUMMARY")
    if not place:
        return None
    with Path(place).open("a", encoding="utf-8") as stream:
        stream.write(page + "\n")
    return Path(place)
