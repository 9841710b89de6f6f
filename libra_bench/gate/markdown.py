"""The answer of the gate for people: a Markdown table, and annotations for GitHub."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from libra_bench.core.outputs import starts_with
from libra_bench.core.printable import one_line, printable
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
LIMIT = 60_000
"""Characters of a page; GitHub takes 65,536 in a comment."""
FEW = 60
"""Rows that are shown in their own order."""


def is_ours(path: Path) -> bool:
    """Whether a file is empty, or one that `markdown` made."""
    return not path.stat().st_size or starts_with(path, TITLE.encode())


def markdown(outcome: Outcome, link: str | None = None) -> str:
    """The outcome as a page of GitHub's Markdown, short enough for a comment.

    Args:
        link: where the run's pages lie: a report, a browser's folder, an artifact.
    """
    state = "failed" if outcome.failing else "passed"
    lines = [
        f"{TITLE}{state}: {WORDS[outcome.verdict]}",
        "",
        f"{_code(outcome.run)} against {_code(outcome.baseline)}, "
        f"alpha {outcome.alpha:g} over all figures"
        + (f", [browse the run]({_target(link)})" if link else ""),
        "",
        "| | figure | baseline | now | difference | interval | p (corrected) | detectable |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    # What failed comes first, so that it is not what a limit cuts off.
    ordered = sorted(outcome.all, key=lambda one: not outcome.fails(one))
    rows = [_row(one) for one in (outcome.all if len(outcome.all) <= FEW else ordered)]
    failing = [_failure(one) for one in outcome.failing]
    notes = [f"- {_cell(note)}" for note in outcome.notes]
    texts = _texts(outcome)
    page = _Page(lines)
    page.add(rows, "figures are left out here; the JUnit file has them all")
    page.add(["", *notes, ""])
    page.add(failing, "failing figures are not described here; the JUnit file has them all")
    page.add(texts, "studies are not shown here")
    return "\n".join(page.lines).rstrip() + "\n"


class _Page:
    """Lines up to a size; what does not fit is counted and said."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines

    def add(self, parts: list[str], left_out: str = "lines are left out") -> None:
        size = sum(len(line) + 1 for line in self.lines)
        for place, part in enumerate(parts):
            size += len(part) + 1
            if size > LIMIT:
                self.lines += ["", f"… {len(parts) - place} {left_out}", ""]
                return
            self.lines.append(part)


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


def _failure(one: Judgement) -> str:
    """Why a figure failed, and the studies that moved it most."""
    said = f"**{_cell(one.title)}**: {_cell(one.reason)}"
    if not one.moved:
        return f"{said}\n"
    rows = [f"| {_code(study.id)} | {study.influence:+.3f} |" for study in one.moved]
    return "\n".join([said, "", "| study | influence |", "|---|--:|", *rows, ""])


def _texts(outcome: Outcome) -> list[str]:
    """The texts of the studies that were named, each once, as the lines of one table."""
    named = {
        study.id: study
        for one in outcome.failing
        for study in reversed(one.moved)
        if study.text is not None
    }
    order = dict.fromkeys(study.id for one in outcome.failing for study in one.moved)
    rows = [
        f"| {_code(key)} | {_cell(named[key].text or '')} | {_cell(named[key].reference or '')} |"
        for key in order
        if key in named
    ]
    head = ["| study | text now | reference |", "|---|---|---|"]
    return [*head, *rows] if rows else []


def _cell(text: str) -> str:
    """A text that breaks no table, makes no markup and calls nobody."""
    flat = printable(" ".join(text.split()))
    shown = flat if len(flat) <= LONGEST else flat[:LONGEST] + " …"
    for mark, written in _WRITTEN.items():
        shown = shown.replace(mark, written)
    # An invisible comment parts the sign from the name or number: nobody is notified, and no issue
    # is linked.
    return _CALLING.sub(r"\1<!-- -->", shown)


_WRITTEN = {
    "\\": "\\\\",
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    **{mark: f"\\{mark}" for mark in "|`*_[]~$"},
}
"""What stands for a character, in the order of replacement."""
_CALLING = re.compile(r"([@#])(?=\w)")


def _code(text: str) -> str:
    """A text as code, in which nothing but the bar needs a mark of its own."""
    flat = printable(" ".join(text.replace("`", "'").split()))
    return f"`{flat or ' '}`".replace("|", "\\|")


def _target(link: str) -> str:
    """An address as the target of a link."""
    return quote(link, safe="%/:?#[]@!$&'*+,;=~")


def error_lines(outcome: Outcome) -> list[str]:
    """GitHub's workflow commands: an error for each failing figure."""
    titles = [one_line(f"{one.title}: {one.verdict}") for one in outcome.failing]
    return [
        f"::error title={_property(title)}::{_data(_message(one))}"
        for title, one in zip(titles, outcome.failing, strict=True)
    ]


def _message(one: Judgement) -> str:
    ids = ", ".join(one_line(study.id) for study in one.moved)
    return one_line(one.reason) + (f"; moved most: {ids}" if ids else "")


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
