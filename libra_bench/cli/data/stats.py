"""`libra-bench data stats`: what a collection holds, beside what was published of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from libra_bench.cli.console import count_progress, print_json, say, table
from libra_bench.cli.data import common
from libra_bench.cli.options import Force, Json

Item = TypeVar("Item")


def stats(
    metadata: common.Metadata,
    split_file: common.SplitFile,
    reports: Annotated[
        Path | None, typer.Option(help="Folder, zip or tar of reports: counts their sections.")
    ] = None,
    views: common.Views = "all",
    filter_when: common.Filter = "before",
    exclude: common.Exclude = None,
    figure: Annotated[
        Path | None, typer.Option(help="A page (.html) or a figure (.png) to write.")
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Patients, studies, images; priors by policy and the days between; sections present."""
    from libra_bench.core.outputs import check_file
    from libra_bench.data.collection import describe
    from libra_bench.data.collection_page import is_ours, remarks, tables, write_figure
    from libra_bench.data.reports import read_reports

    if figure is not None:
        check_file(
            figure,
            option="--figure",
            inputs=(metadata, split_file, reports, exclude),
            ours=is_ours,
            force=force,
        )
    images = common.read_images(metadata, split_file)
    excluded = common.read_exclude(exclude)
    options: dict[str, Any] = {"views": views, "filter_when": filter_when, "exclude": excluded}
    if reports is None:
        figures = describe(images, **options)
    else:
        with count_progress("reading reports") as show:
            figures = describe(images, **options, reports=_counted(read_reports(reports), show))
    if figure is not None:
        write_figure(figures, figure)
        say(f"wrote {figure}")
    if json:
        print_json(figures)
        return
    for title, columns, rows in tables(figures):
        table(columns, rows, title)
    for sentence in remarks(figures):
        say(sentence)


def _counted(items: Iterable[Item], show: Callable[[int], None]) -> Iterator[Item]:
    for done, item in enumerate(items, start=1):
        show(done)
        yield item
