"""MIMIC-CXR's reports from a folder, a zip or a tar archive, and the table of their sections."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import chain, islice
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple, TextIO

from libra_bench.core.errors import InputError, writing
from libra_bench.core.files import listing, temporary_name
from libra_bench.core.special import refuse_special
from libra_bench.data.parallel import batches, begin_worker, default_workers, in_order
from libra_bench.data.sections import SECTIONS, is_special, parse, parse_special
from libra_bench.data.trees import files_of

REPORT_NAME = re.compile(r"(?:^|/)(s\d+)\.txt$")
BATCH = 256
ALONE = 32
"""Batches that are parsed sooner than other processes are started."""


class Report(NamedTuple):
    """One report's file: its study (`s50414267`), where it is, and its bytes or its path."""

    study: str
    where: str
    content: bytes | Path


class TableCounts(NamedTuple):
    """Rows written, and studies with hand-made rules that were left out."""

    written: int
    left_out: int


class _Part(NamedTuple):
    """What a batch of reports adds to the table."""

    rows: str
    written: int
    left_out: int
    faults: list[str]


def reports_in(place: Path) -> Iterator[Report]:
    """Every report `s….txt` below a folder (by name), or in an archive (as it lies there).

    Nothing is kept of what was given; only a zip's directory is held in memory whole.

    Raises:
        InputError: no such place, or a broken archive.
    """
    for name, where, content in files_of(place, lambda name: bool(REPORT_NAME.search(name))):
        found = REPORT_NAME.search(name)
        assert found is not None
        yield Report(found[1], where, content)


def read_reports(place: Path) -> Iterator[tuple[str, str]]:
    """(study, text) of every report.

    Raises:
        InputError: as `reports_in`, or a report that is not UTF-8.
    """
    for report in reports_in(place):
        yield report.study, _text(report)


def write_section_table(
    place: Path,
    output: Path,
    *,
    keep_special: bool = False,
    workers: int | None = None,
    on_reports: Callable[[int], None] = lambda done: None,
) -> TableCounts:
    """Write the published table of sections: a row a study, the columns of `SECTIONS`.

    The reports are parsed by `workers` processes a batch at a time; rows come in the order of
    `reports_in`. The file appears whole or not at all.

    Args:
        keep_special: keep the studies that the published table leaves out (`parse_special`).
        workers: processes; None for as many as there are processors.
        on_reports: is told how many reports are done.

    Raises:
        InputError: no reports, as `reports_in`, or reports that are not UTF-8, all together.
    """
    refuse_special(output)
    partial_file = output.with_name(temporary_name(output.name))
    written = left_out = done = 0
    faults: list[str] = []
    try:
        with writing(output), _new(partial_file) as stream:
            csv.writer(stream).writerow(("study", *SECTIONS))
            for part in _parts(place, keep_special, workers or default_workers()):
                stream.write(part.rows)
                written += part.written
                left_out += part.left_out
                faults += part.faults
                done += part.written + part.left_out + len(part.faults)
                on_reports(done)
        if faults:
            raise InputError(f"{place}: {listing(faults)}")
        if not done:
            raise InputError(f"{place}: no reports (s….txt) in it")
        with writing(output):
            partial_file.replace(output)
    finally:
        partial_file.unlink(missing_ok=True)
    return TableCounts(written, left_out)


def _new(path: Path) -> TextIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("x", encoding="utf-8", newline="")


def decode(content: bytes, where: str) -> str:
    """A report's text, line ends as `\\n`.

    Raises:
        InputError: not UTF-8, with the line and the byte.
    """
    try:
        return content.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{where}, line {line}: not UTF-8 text (byte {error.start}); perhaps Latin-1"
        ) from None


def _parts(place: Path, keep_special: bool, workers: int) -> Iterator[_Part]:
    parts = batches(reports_in(place), BATCH)
    work = partial(_table_part, keep_special=keep_special)
    start = list(islice(parts, ALONE))
    if workers == 1 or len(start) < ALONE:
        yield from map(work, chain(start, parts))
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=begin_worker) as pool:
        yield from in_order(pool, work, chain(start, parts), ahead=2 * workers)


def _table_part(reports: list[Report], keep_special: bool) -> _Part:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    written = left_out = 0
    faults = []
    for report in reports:
        special = is_special(report.study)
        if special and not keep_special:
            left_out += 1
            continue
        try:
            text = _text(report)
            found = parse_special(report.study, text) if special else parse(text)
        except InputError as error:
            faults.append(str(error))
            continue
        writer.writerow((report.study, *(found.get(name, "") for name in SECTIONS)))
        written += 1
    return _Part(buffer.getvalue(), written, left_out, faults)


def _text(report: Report) -> str:
    content = report.content
    return decode(content if isinstance(content, bytes) else content.read_bytes(), report.where)
