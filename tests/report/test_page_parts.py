"""What a page is made of: marked texts, chosen examples, thumbnails, published numbers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from libra_bench.report import view
from libra_bench.report.figures import distribution, intervals
from libra_bench.report.load import Figure, Summary, read_run
from libra_bench.report.marks import spans
from libra_bench.report.published import (
    NotComparable,
    PublishedTable,
    comparable,
    libra_table,
    rexrank_note,
)
from libra_bench.report.thumbnails import thumbnails

Make = Callable[..., Path]
Change = Callable[[dict[str, Any]], None]


def kinds(text: str, other: str) -> dict[str, str]:
    return {span.text: span.kind for span in spans(text, other) if span.kind}


def test_marks_shared_words_and_words_of_change() -> None:
    # "the" is shared but a function word; "stable" is a keyword on both sides, "new" on one.
    assert kinds("The heart is stable, new line.", "the HEART stable.") == {
        "heart": "shared",
        "stable": "temporal shared",
        "new": "temporal",
    }


@pytest.mark.parametrize("text", ["", "  a  ", "Heart\nsize <b>.", "stable", "...", "é, new–old"])
def test_spans_join_to_the_text(text: str) -> None:
    assert "".join(span.text for span in spans(text, "heart stable")) == text


def test_examples_are_best_median_worst(make_run: Make) -> None:
    page = view.build(read_run(make_run()))
    # ROUGE-L: q1 100, q2 90, q0 62.5, q3 30, q4 0; q5 failed. The median of five is q0, and
    # best, median and worst share q2 and q3 between them, so that none stands twice.
    assert page.ranked_by is not None and page.ranked_by.title == "ROUGE-L"
    assert [(pair.example.question_id, pair.rank) for pair in page.pairs] == [
        ("q1", "best"),
        ("q2", "best"),
        ("q0", "median"),
        ("q3", "worst"),
        ("q4", "worst"),
    ]
    assert [failure.question_id for failure in page.failures] == ["q5"]


def test_lower_is_better_ranks_the_other_way(make_run: Make) -> None:
    def only_radcliq(content: dict[str, Any]) -> None:
        content["metrics"] = {"radcliq": content["metrics"]["radcliq"]}

    page = view.build(read_run(make_run(only_radcliq)))
    # RadCliQ: q1 0.5 is best, q3 2.0 is worst.
    assert (page.pairs[0].example.question_id, page.pairs[-1].example.question_id) == ("q1", "q3")


def test_nothing_scored_gives_a_page(make_run: Make) -> None:
    def nothing(content: dict[str, Any]) -> None:
        content["metrics"] = {}
        content["subgroups"] = []

    page = view.build(read_run(make_run(nothing)))
    assert page.pairs == [] and page.ranked_by is None


def test_thumbnails_stay_below_the_root(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    Image.new("L", (900, 600), 10).save(tmp_path / "secret.png")
    Image.new("L", (900, 600), 10).save(root / "a.png")
    (root / "text.dcm").write_text("no image")
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    names = ["../secret.png", str(tmp_path / "secret.png"), "link.png", "text.dcm", "gone.png"]
    for name in names:
        (shown,) = thumbnails(root, [name])
        assert shown.uri is None and shown.reason, name
    (shown,) = thumbnails(root, ["a.png", "a.png"])
    assert shown.role == "current" and shown.uri is not None
    assert thumbnails(None, ["a.png"]) == []


def test_sixteen_bit_image_keeps_its_range(tmp_path: Path) -> None:
    import base64
    import io

    ramp = np.linspace(1000, 60000, 64 * 64).reshape(64, 64).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    (shown,) = thumbnails(tmp_path, ["deep.png"])
    assert shown.uri is not None
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(shown.uri.split(",")[1]))))
    # Clipping at 255 would leave one grey; the ramp's own range fills all of them.
    assert pixels.min() < 8 and pixels.max() > 247 and 100 < pixels.mean() < 155


def read_summary(make_run: Make, change: Change) -> Summary:
    import json

    return Summary.model_validate(json.loads((make_run(change) / "summary.json").read_text()))


def test_published_numbers_under_the_same_conditions(make_run: Make, as_published: Change) -> None:
    table = comparable(read_summary(make_run, as_published))
    assert isinstance(table, PublishedTable)
    libra = table.rows[0]
    assert (libra.model, libra.certainty) == ("Libra-v1.0-7b", "M")
    assert [str(libra.values[f"bleu{k}"]) for k in (1, 2, 3, 4)] == [
        "51.25",
        "37.48",
        "29.56",
        "24.54",
    ]
    assert str(libra.values["meteor"]) == "48.90", "the digits that were published"


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("profile", "rexrank"),
        ("profile", "coco"),
        ("protocol", {"name": "libra-paper+custom", "signature": "num_beams=1"}),
        ("cohort", "synthetic"),
        ("split", "validate"),
        ("section", "impression"),
        ("prior_policy", "none"),
        ("n", 2460),
    ],
)
def test_any_other_condition_hides_them(
    make_run: Make, as_published: Change, where: str, value: Any
) -> None:
    def change(content: dict[str, Any]) -> None:
        as_published(content)
        (content if where == "n" else content["run"])[where] = value

    verdict = comparable(read_summary(make_run, change))
    assert isinstance(verdict, NotComparable)
    assert len(verdict.differences) == 1 and where.replace("_", " ") in str(verdict)


def test_published_data_is_sound() -> None:
    table = libra_table()
    assert table.conditions["n"] == 2461
    for row in table.rows:
        assert row.source
        assert set(row.values) <= set(table.columns)
        assert all(0 < value < 100 for value in row.values.values())
    assert "never compare" in rexrank_note().lower()


def figure(title: str, value: float | None, low: float | None, high: float | None) -> Figure:
    return Figure(
        metric="m", title=title, value=value, low=low, high=high, n=1, unscored=0, signature="s"
    )


def test_figures_follow_the_page() -> None:
    percent = figure("A & <b>", 50.0, 40.0, 60.0)
    for svg in (
        intervals([percent, figure("B", 10.0, None, None)]),
        distribution(np.array([1.0, np.nan, 99.0]), percent, "a"),
    ):
        assert svg.startswith("<svg ") and svg.rstrip().endswith("</svg>")
        assert "var(--accent)" in svg and "#040506" not in svg
        assert "<b>" not in svg and "A &amp; &lt;b&gt;" in svg
        assert "http" not in svg.split(">", 1)[1]


def test_flatten() -> None:
    nested = {"a": {"b": [1, 2], "c": None}, "d": {}, "e": ""}
    assert view.flatten(nested) == [("a.b", "1, 2"), ("a.c", "–"), ("d", "{}"), ("e", "–")]
