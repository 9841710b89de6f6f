"""Writing a run's pages: `report.html`, `report.md`, `report.tex`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from libra_bench.core.errors import InputError
from libra_bench.core.files import write_atomic
from libra_bench.core.names import unknown_name
from libra_bench.report import figures, view
from libra_bench.report.load import read_run
from libra_bench.report.published import rexrank_note
from libra_bench.report.thumbnails import thumbnails
from libra_bench.report.view import Page

if TYPE_CHECKING:
    from jinja2 import Environment

UNTRAINED = "untrained: random weights, these scores mean nothing"
NEVER_COMPARE = (
    "Never compare figures across protocols, profiles or datasets: they are different quantities."
)


def render(run_dir: Path, formats: Sequence[str] = ("html", "md")) -> list[Path]:
    """Write the pages of a scored run into its folder; each is replaced in one step.

    Args:
        run_dir: the run folder.
        formats: `html`, `md` (or `markdown`) and `latex` (or `tex`).

    Returns:
        The files written, in the order of `formats`.

    Raises:
        InputError: an unknown format; a folder that is no scored run, or whose files are
            half-written or do not belong together.
    """
    if not formats:
        raise InputError(f"no report format given. Known: {', '.join(sorted(FORMATS))}")
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise unknown_name("report format", unknown[0], FORMATS)
    page = view.build(read_run(run_dir))
    # Two names of one format give one file.
    writers = dict.fromkeys(FORMATS[name] for name in formats)
    pages = {run_dir / name: make(page) for name, make in writers}
    for path, text in pages.items():
        write_atomic(path, text)
    return list(pages)


def to_html(page: Page) -> str:
    """One self-contained page: no script, nothing fetched."""
    percent = [one for one in page.figures.values() if figures.on_percent_scale(one)]
    scored = {
        name: page.run.scores[name].to_numpy(dtype=float, na_value=float("nan"))
        for name, figure in page.figures.items()
        if name in page.run.scores and figure.value is not None
    }
    root = view.image_root(page.run)
    environment = _environment(autoescape=True)
    return environment.get_template("report.html.j2").render(
        _common(page),
        style=_template_text("style.css"),
        intervals=figures.intervals(percent) if percent else "",
        off_scale=[
            one.title
            for one in page.figures.values()
            if one not in percent and one.value is not None
        ],
        distributions=[
            figures.distribution(values, page.figures[name], name)
            for name, values in scored.items()
            if values.size and not all(value != value for value in values)
        ],
        images=[thumbnails(root, pair.example.image) for pair in page.pairs],
    )


def to_markdown(page: Page) -> str:
    """The tables as GitHub-flavoured Markdown."""
    environment = _environment(autoescape=False)
    environment.filters["cell"] = markdown_cell
    environment.filters["code"] = markdown_code
    return environment.get_template("report.md.j2").render(_common(page))


def to_latex(page: Page) -> str:
    """The score table for a paper that loads `booktabs`."""
    # LaTeX is made of braces and percent signs; the template's own marks must not be.
    environment = _environment(
        autoescape=False,
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
        comment_start_string="<#",
        comment_end_string="#>",
    )
    environment.filters["tex"] = latex_text
    environment.filters["line"] = one_line
    return environment.get_template("report.tex.j2").render(_common(page))


FORMATS: dict[str, tuple[str, Callable[[Page], str]]] = {
    "html": ("report.html", to_html),
    "md": ("report.md", to_markdown),
    "markdown": ("report.md", to_markdown),
    "latex": ("report.tex", to_latex),
    "tex": ("report.tex", to_latex),
}


def one_line(text: object) -> str:
    """Text without line breaks: one would end a table's row or a comment."""
    return " ".join(str(text).split())


def markdown_cell(text: object) -> str:
    """Text that stays itself inside a Markdown table, and outside of one."""
    line = one_line(text)
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#~])", r"\\\1", line)


def markdown_code(text: object) -> str:
    """Text as a code span, fenced by more backticks than it holds in a row."""
    line = one_line(text)
    fence = "`" * (1 + max((len(run) for run in re.findall(r"`+", line)), default=0))
    return f"{fence} {line} {fence}" if len(fence) > 1 else f"`{line}`"


LATEX_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    # The straight quote needs a font encoding that not every paper loads.
    '"': "''",
    "–": "--",
    "−": "$-$",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def latex_text(text: object) -> str:
    """Text that LaTeX prints as it is."""
    line = one_line(text)
    return "".join(LATEX_SPECIAL.get(character, character) for character in line)


def _common(page: Page) -> dict[str, Any]:
    return {
        "page": page,
        "summary": page.run.summary,
        "facts": page.run.summary.run,
        "untrained": "" if page.trained else UNTRAINED,
        "level": _level(page),
        "never_compare": NEVER_COMPARE,
        "rexrank_note": rexrank_note(),
    }


def _level(page: Page) -> str:
    """The intervals' level in percent; several only where the file holds several."""
    levels = sorted({figure.level for figure in page.figures.values()})
    return " and ".join(f"{level * 100:g}" for level in levels) or "95"


def _environment(**options: Any) -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("libra_bench.report", "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        **options,
    )
    environment.filters["number"] = view.number
    environment.filters["interval"] = view.interval
    return environment


def _template_text(name: str) -> str:
    return (Path(__file__).parent / "templates" / name).read_text(encoding="utf-8")
