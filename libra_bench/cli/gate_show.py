"""What `check` and `baseline` show and write: a table, JUnit, Markdown, GitHub's annotations."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from libra_bench.cli.console import number, print_json, say, table, warn
from libra_bench.core.printable import one_line

if TYPE_CHECKING:
    from libra_bench.gate.judgement import Outcome


def show(
    outcome: Outcome,
    *,
    as_json: bool,
    junit_file: Path | None,
    markdown_file: Path | None,
    link: str | None,
) -> None:
    """Tell an outcome everywhere it is asked for: stdout, files, and GitHub where it runs there."""
    from libra_bench.core.files import write_atomic
    from libra_bench.gate.junit import junit
    from libra_bench.gate.markdown import error_lines, markdown, to_github

    page = markdown(outcome, link)
    for path, content in ((junit_file, junit(outcome)), (markdown_file, page)):
        if path is not None:
            write_atomic(path, content)
            say(f"wrote {path}")
    try:
        to_github(page)
    except OSError as error:
        # The summary is a copy; the answer and the exit code are not to depend on it.
        warn(f"the summary of the job could not be written: {error}")
    if os.environ.get("GITHUB_ACTIONS") == "true":
        # GitHub reads both streams, and stdout may hold JSON.
        for line in error_lines(outcome):
            say(line)
    if as_json:
        print_json(outcome.as_json())
    else:
        _table(outcome)
    for note in outcome.notes:
        warn(one_line(note))


def _table(outcome: Outcome) -> None:
    table(
        # 80 columns hold these without cutting a name or a number in two.
        ("score", "before", "now", "change", "interval", "p", "verdict"),
        [
            (
                one_line(one.name),
                number(one.baseline, one.digits),
                number(one.current, one.digits),
                "" if one.difference is None else f"{one.difference:+.{one.digits}f}",
                ""
                if one.low is None or one.high is None
                else f"{number(one.low)} … {number(one.high)}",
                "" if one.p is None else f"{one.p:.4f}",
                one.verdict,
            )
            for one in outcome.all
        ],
        figures=("interval",),
    )
    say("p: corrected over everything that gates")
    for one in outcome.all:
        if outcome.fails(one) or one.verdict == "undecided":
            say(one_line(f"{one.title}: {one.reason}"))
        if outcome.fails(one) and one.moved:
            studies = ", ".join(f"{study.id} ({study.influence:+.3f})" for study in one.moved)
            say(one_line(f"  moved most: {studies}"))
    state = "failed" if outcome.failing else "passed"
    say(f"gate {state}: {outcome.verdict} against {outcome.baseline}, alpha {outcome.alpha:g}")
