"""Pages and figures: complete, escaped, and the same from the same records."""

import re
from dataclasses import asdict
from pathlib import Path

import pytest

from libra_bench.perf.hardware import read_prices
from libra_bench.perf.page import write_pages
from libra_bench.perf.record import Record
from libra_bench.perf.shape import named


def record(**changes) -> Record:
    settings = {
        "engine": "fast",
        "beams": 10,
        "new_tokens": 128,
        "side_by_side": 8,
        "studies": 8,
        "prompt": 95,
        "prior_share": 0.5,
    }
    parts = {"encode": [0.1], "connect": [0.1], "prefill": [0.4], "decode": [0.01] * 127}
    fields = {
        "kind": "generation",
        "model": "<b>libra-7b</b>",
        "random_weights": True,
        "shape": asdict(named("libra-7b")),
        "device": "NVIDIA H100 80GB HBM3",
        "gpu": "h100-sxm",
        "facts": {"threads": 1, "load_average": 1.0, "cpus": 16},
        "versions": {},
        "commit": None,
        "dtype": "bfloat16",
        "attention": "sdpa",
        "settings": settings,
        "seconds": [2.0, 2.0, 2.1],
        "dropped": 0,
        "parts": parts,
        "results": {"reports_per_second": 4.0, "peak_bytes": 2e10},
        "gaps": {},
    }
    return Record.model_validate(fields | changes)


@pytest.fixture
def written(tmp_path: Path) -> list[Path]:
    return write_pages(tmp_path, {"one.json": record()}, read_prices())


def test_all_pages_and_figures_are_there(written: list[Path]) -> None:
    names = {path.name for path in written}
    assert names == {
        "README.md",
        "perf.html",
        "throughput.png",
        "cost.png",
        "roofline.png",
        "measured.png",
    }
    for path in written:
        if path.suffix == ".png":
            assert path.read_bytes().startswith(b"\x89PNG")


def test_the_page_links_its_figures_and_marks_what_was_measured(written: list[Path]) -> None:
    text = written[0].read_text()
    for link in re.findall(r"!\[.*?\]\((.*?)\)", text):
        assert (written[0].parent / link).is_file()
    row = next(line for line in text.splitlines() if line.startswith("| H100 SXM | fast"))
    assert "4.00 m" in row
    assert "385 p" in text and "≈" in text
    assert "| one | NVIDIA H100" in text


def test_the_html_page_is_whole_and_escaped(written: list[Path]) -> None:
    html = next(path for path in written if path.suffix == ".html").read_text()
    assert html.count("<svg") == 4 and "&lt;b&gt;libra-7b" in html and "<b>" not in html
    assert "5.96" in html and "http://localhost" not in html and "<script" not in html
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))


def test_the_same_records_give_the_same_files(written: list[Path], tmp_path: Path) -> None:
    again = write_pages(tmp_path / "again", {"one.json": record()}, read_prices())
    assert [path.read_bytes() for path in written] == [path.read_bytes() for path in again]


def test_without_records_nothing_is_called_measured(tmp_path: Path) -> None:
    paths = write_pages(tmp_path, {}, read_prices())
    text = paths[0].read_text()
    assert "No records." in text and " m |" not in text
    assert "measured.png" not in {path.name for path in paths}


def test_uneven_times_and_a_busy_machine_are_disturbances() -> None:
    assert not record().disturbed
    assert record(seconds=[1.0, 1.6]).disturbed
    # Even times on a busy machine: all repetitions were disturbed alike.
    busy = {"threads": 1, "load_average": 25.0, "cpus": 16}
    assert record(facts=busy).disturbed
