"""The pages: escaped, self-contained, honest about what the scores are."""

import html
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from libra_bench.core.errors import InputError
from libra_bench.report import render as module
from libra_bench.report.load import read_run
from libra_bench.report.render import latex_text, markdown_cell, markdown_code, render

Make = Callable[..., Path]


class Page(HTMLParser):
    """Tags with their attributes, in order, and whether they are balanced."""

    VOID = ("meta", "img", "br", "path", "use", "rect", "link")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.faults: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag in self.VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.faults.append(tag)


def written(run: Path, name: str = "html") -> str:
    return render(run, [name])[0].read_text()


def test_writes_every_format_once(make_run: Make) -> None:
    run = make_run()
    paths = render(run, ["html", "md", "markdown", "latex"])
    assert [path.name for path in paths] == ["report.html", "report.md", "report.tex"]
    assert all(path.parent == run for path in paths)
    assert not list(run.glob(".report*"))


def test_report_text_arrives_escaped(make_run: Make) -> None:
    page = written(make_run())
    parsed = Page(page)
    assert not parsed.faults and not parsed.open
    assert "script" not in {tag for tag, _ in parsed.tags}
    # Marked words are wrapped, so the tags are looked for without the wrapping.
    text = re.sub(r"</?span[^>]*>", "", page)
    assert "Heart size &lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; is stable &amp;" in text
    assert "&lt;b&gt;q5.png&lt;/b&gt;" in page
    assert "apt-get install w &amp; x" in page


def test_every_text_of_the_summary_is_escaped(make_run: Make) -> None:
    evil = "<img src=x onerror=alert(1)> & $x$"

    def change(content: dict[str, Any]) -> None:
        content["run"] |= dict.fromkeys(["model", "data", "cohort", "section", "engine"], evil)
        content["metrics"]["bleu1"] |= {"title": evil, "signature": evil}
        content["subgroups"][0] |= {"column": evil, "value": evil}
        content["notes"] = [evil]

    page = written(make_run(change))
    assert "<img src=x" not in page
    assert "$x$" in page, "a dollar sign in a figure's title is no formula"
    assert html.escape(evil) in page
    assert not Page(page).faults


def test_page_is_self_contained(make_run: Make) -> None:
    page = written(make_run())
    for _, attributes in Page(page).tags:
        for name in ("src", "href", "xlink:href"):
            value = attributes.get(name) or "#"
            assert value.startswith(("data:image/", "#")), value
    assert "@import" not in page and "url(http" not in page


def test_ids_are_unique(make_run: Make) -> None:
    ids = [
        value for _, attributes in Page(written(make_run())).tags if (value := attributes.get("id"))
    ]
    assert sorted(ids) == sorted(set(ids))


def test_untrained_stands_at_every_score(make_run: Make) -> None:
    run = make_run()
    page = written(run)
    for title in ("Scores", "Subgroups", "Distribution over reports", "Reports"):
        assert re.search(rf"<h2>{title} <span class=\"badge\">untrained", page), title
    captions = re.findall(r"<figcaption>(Scores and|Number of).*?</figcaption>", page)
    warned = re.findall(r"<figcaption>(?:Scores and|Number of)[^\n]*mean nothing", page)
    assert len(captions) == len(warned) == 2
    assert "random weights" in written(run, "md").lower()
    assert "random weights" in written(run, "latex")


def test_trained_is_not_called_untrained(
    make_run: Make, as_published: Callable[[dict[str, Any]], None]
) -> None:
    def change(content: dict[str, Any]) -> None:
        as_published(content)
        content["n"] = 6

    run = make_run(change)
    for name in ("html", "md", "latex"):
        assert "untrained" not in written(run, name).lower()


def test_unscored_is_counted_and_missing_is_a_dash(make_run: Make) -> None:
    page = written(make_run(), "md")
    assert "| BLEU-1 | 51.23 | 46.98 – 54.73 | 5 | 1 |" in page
    assert "| Temporal F1 | – | – | 0 | 6 |" in page
    assert "| RadCliQ-v1 (lower is better) | 1.25 | −3.00 – 4.75 | 5 | 1 |" in page
    assert "| meteor | WordNet is missing | apt-get install w &amp; x |" in page


def test_markdown_tables_are_whole(make_run: Make) -> None:
    lines = written(make_run(), "md").splitlines()
    for before, line in pairwise(lines):
        if before.startswith("|") and line.startswith("|"):
            assert len(re.findall(r"(?<!\\)\|", before)) == len(re.findall(r"(?<!\\)\|", line))


def test_images_are_shown_where_they_are(make_run: Make) -> None:
    run = make_run()
    images = [a for tag, a in Page(written(run)).tags if tag == "img"]
    # Reports q0, q1 and q2 have a prior image, q3 and q4 have none; q5 failed.
    assert len(images) == 3 * 2 + 2
    assert all((image["src"] or "").startswith("data:image/jpeg;base64,") for image in images)
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["resolved"]["image_root"] = None
    (run / "manifest.json").write_text(json.dumps(manifest))
    assert "<img" not in written(run)


def test_same_run_gives_the_same_page(make_run: Make) -> None:
    run = make_run()
    assert written(run) == written(run)


@pytest.mark.parametrize(
    ("name", "near"), [("htm", "html"), ("latx", "latex"), ("markdwn", "markdown")]
)
def test_unknown_format_names_the_nearest(make_run: Make, name: str, near: str) -> None:
    with pytest.raises(InputError, match=f"Did you mean '{near}'"):
        render(make_run(), ["html", name])


def test_unknown_format_writes_nothing(make_run: Make) -> None:
    run = make_run()
    with pytest.raises(InputError):
        render(run, ["html", "pdf"])
    assert not (run / "report.html").exists()


def test_no_run_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a run folder"):
        render(tmp_path, ["html"])


def test_faults_are_reported_together(make_run: Make) -> None:
    run = make_run()
    scores = (run / "scores.parquet").read_bytes()
    (run / "scores.parquet").write_bytes(scores[: len(scores) // 2])
    (run / "summary.json").write_text('{"format": 1, "n": ')
    predictions = (run / "predictions.jsonl").read_text()
    (run / "predictions.jsonl").write_text(predictions[:-20])
    with pytest.raises(InputError) as caught:
        render(run, ["html"])
    for part in ("scores.parquet", "not a Parquet table", "summary.json, line 1", "jsonl, line 6"):
        assert part in str(caught.value)


def test_summary_fields_at_fault_are_named(make_run: Make) -> None:
    def change(content: dict[str, Any]) -> None:
        content["format"] = 2
        del content["metrics"]["bleu1"]["unscored"]

    with pytest.raises(InputError) as caught:
        render(make_run(change), ["html"])
    assert "format:" in str(caught.value) and "metrics.bleu1.unscored:" in str(caught.value)


def test_files_of_different_runs_do_not_mix(make_run: Make) -> None:
    run = make_run()
    lines = (run / "predictions.jsonl").read_text().splitlines(keepends=True)
    (run / "predictions.jsonl").write_text("".join(lines[1:]))
    with pytest.raises(InputError, match="no row for id 'q0'"):
        read_run(run)


def test_scores_that_are_no_numbers(make_run: Make) -> None:
    run = make_run()
    scores = pd.read_parquet(run / "scores.parquet")
    scores.assign(bleu1="high").to_parquet(run / "scores.parquet", index=False)
    with pytest.raises(InputError, match="column 'bleu1' holds no numbers"):
        render(run, ["html"])


def test_unscored_run_says_how_to_finish_it(make_run: Make) -> None:
    run = make_run()
    (run / "summary.json").unlink()
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps(manifest | {"status": "cancelled"}))
    with pytest.raises(InputError, match="'cancelled'; --resume finishes it"):
        render(run, ["html"])


def test_latex_text() -> None:
    assert latex_text(r"50% of a_b & {c}\d") == r"50\% of a\_b \& \{c\}\textbackslash{}d"
    assert latex_text("x~y^z\nnext") == r"x\textasciitilde{}y\textasciicircum{}z next"


def test_markdown_text() -> None:
    assert markdown_cell("a|b\n<script>") == r"a\|b &lt;script&gt;"
    assert markdown_code("a|b_c") == "`a|b_c`"
    assert markdown_code("a`b") == "`` a`b ``"


def test_every_format_name_is_documented() -> None:
    for name in module.FORMATS:
        assert f"`{name}`" in (render.__doc__ or "")
