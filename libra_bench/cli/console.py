"""What the commands show people, on stderr; machine output alone goes to stdout."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from libra_bench.core.printable import printable

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from libra_bench.generation.driver import Progress


def complain(message: str) -> None:
    """An error for the user."""
    typer.secho("error: ", fg="red", bold=True, nl=False, err=True)
    typer.echo(printable(message), err=True)


def warn(message: str) -> None:
    """Something that the user should know and that stops nothing."""
    typer.secho("warning: ", fg="yellow", bold=True, nl=False, err=True)
    typer.echo(printable(message), err=True)


def say(message: str) -> None:
    """A line for the user."""
    typer.echo(printable(message), err=True)


def show(text: str) -> None:
    """Text for people on stdout, as a report."""
    typer.echo(printable(text))


def print_json(value: Any) -> None:
    """Machine output: one JSON document on stdout; NaN becomes null.

    Characters that a terminal acts on, or that stdout's encoding has not, are escaped.
    """
    from libra_bench.core.files import without_nan

    utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    text = json.dumps(without_nan(value), indent=1, ensure_ascii=not utf8)
    # JSON itself escapes the first 32; the others stand in texts only.
    typer.echo(_ACTING.sub(lambda match: f"\\u{ord(match[0]):04x}", text))


_ACTING = re.compile("[\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def number(value: float | None, digits: int = 2) -> str:
    """A figure for a table; a dash where there is none."""
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    title: str | None = None,
    figures: Sequence[str] = (),
) -> None:
    """A table on stdout, for people: first column left, the others right unless they hold words.

    Args:
        figures: columns that hold figures though there are letters in them; they are not folded.
    """
    from rich.console import Console
    from rich.table import Table

    title = None if title is None else printable(title)
    rows = [[printable(cell) for cell in row] for row in rows]
    grid = Table(title=title, box=None, header_style="bold", title_justify="left", pad_edge=False)
    for index, column in enumerate(columns):
        known = column in figures
        wordy = index == 0 or any(any(c.isalpha() for c in row[index]) for row in rows)
        grid.add_column(
            column,
            justify="left" if wordy and not known else "right",
            overflow="fold",
            min_width=max((len(row[index]) for row in rows), default=0) if known else None,
        )
    for row in rows:
        grid.add_row(*row)
    # A name such as [/x] is a name.
    Console(highlight=False, markup=False, emoji=False).print(grid)


def summary_table(summary: dict[str, Any]) -> None:
    """The figures of a summary on stdout, with what stands beside them."""
    from libra_bench.runs.scoring import resampling

    rows = []
    for figure in summary["metrics"].values():
        low, high = figure.get("low"), figure.get("high")
        interval = "" if low is None or math.isnan(low) else f"{number(low)} – {number(high)}"
        arrow = "↑" if figure["higher_is_better"] else "↓"
        counts = (str(figure["n"]), str(figure["unscored"]))
        rows.append((f"{figure['title']} {arrow}", number(figure["value"]), interval, *counts))
    for name, gap in summary["not_scored"].items():
        titles = gap.get("titles") or [name]
        more = ", …" if len(titles) > 2 else ""
        rows.append((", ".join(titles[:2]) + more, "not scored", "", "0", ""))
    run = summary.get("run", {})
    title = None
    if run:
        untrained = "" if run["trained"] else " (untrained: random weights, no result)"
        title = f"{run['model_id']} on {run['cohort']}{untrained}"
    if rows:
        table(("metric", "value", "95 % interval", "scored", "unscored"), rows, title)
        say(f"intervals: {resampling(summary['resampled'])}")
    warn_unscored(summary)
    for note in summary["notes"]:
        warn(note)


def warn_unscored(summary: dict[str, Any]) -> None:
    """What is not scored and why, and the one command that brings all that can be fetched."""
    gaps = summary["not_scored"]
    for name, gap in gaps.items():
        mend = "" if gap.get("fetch") else f". To mend it: {gap['mend']}"
        warn(f"{name} is not scored: {gap['reason']}{mend}")
    fetchable = [gap for gap in gaps.values() if gap.get("fetch")]
    if fetchable:
        also = dict.fromkeys(gap["also"] for gap in fetchable if gap.get("also"))
        names = dict.fromkeys(gap["fetch"] for gap in fetchable)
        steps = [*also, f"libra-bench fetch {' '.join(names)}"]
        say(f"To mend {'these' if len(fetchable) > 1 else 'it'}: {'; '.join(steps)}")


@contextmanager
def generation_progress(label: str) -> Iterator[Callable[[Progress], None]]:
    """A bar with reports, reports per second and the time left."""
    with _bar(label, left=True) as (bar, task):

        def show(progress: Progress) -> None:
            rate = progress.reports_per_second
            speed = "" if math.isnan(rate) else f"{rate:.2f} reports/s"
            if progress.failed:
                speed += f", {progress.failed} failed"
            bar.update(task, total=progress.total, completed=progress.done, speed=speed)

        yield show


@contextmanager
def count_progress(label: str, total: int | None = None) -> Iterator[Callable[..., None]]:
    """A bar over things counted: call it with how many are done and, where known, of how many."""
    with _bar(label, left=False) as (bar, task):

        def show(done: int, total: int | None = total) -> None:
            seconds = bar.tasks[0].elapsed
            speed = f"{done / seconds:,.0f} a second" if seconds else ""
            bar.update(task, completed=done, total=total, speed=speed)

        bar.update(task, total=total)
        yield show


@contextmanager
def _bar(label: str, *, left: bool) -> Iterator[tuple[Bar, TaskID]]:
    """A bar on stderr with a count, a speed, and the time that is left or has passed."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None if left else 40),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}", markup=False),
        TimeRemainingColumn() if left else TimeElapsedColumn(),
        console=Console(stderr=True),
    ) as bar:
        yield bar, bar.add_task(label, total=None, speed="")


@contextmanager
def steps_progress(label: str) -> Iterator[Callable[[str], None]]:
    """A spinner that names what is being done."""
    from rich.console import Console
    from rich.text import Text

    label = printable(label)
    with Console(stderr=True).status(Text(label)) as status:
        yield lambda step: status.update(Text(f"{label}: {printable(step)}"))
