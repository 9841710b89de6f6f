"""The figures of a collection for people: rows of tables, a figure, a page of its own."""

from __future__ import annotations

import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from libra_bench.core.errors import InputError
from libra_bench.core.files import write_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = (".html", ".png")
MAKER = "libra-bench data stats"
"""Stands in the head of every page and figure, so that it is known again."""
INK, ACCENT, RULE = "#333333", "#2b6777", "#d8d8d8"


class Table(NamedTuple):
    """A table for people: its title, its columns, its rows, all as text."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]


def tables(figures: dict[str, Any]) -> list[Table]:
    """What `collection.describe` found, as tables."""
    unit = ("patients", "studies", "images")
    found = [
        Table(f"by {name}", (name, *unit), [(key, *_whole(one, unit)) for key, one in part.items()])
        for name, part in (("split", figures["splits"]), ("view", figures["views"]))
    ]
    found.append(
        Table(
            "by split and view",
            ("split, view", *unit),
            [
                (f"{split}, {view}", *_whole(one, unit))
                for split, views in figures["split_views"].items()
                for view, one in views.items()
            ],
        )
    )
    repeated = figures["repeated"]
    found.append(
        Table(
            "patients with two or more studies",
            ("", "share", "patients"),
            [
                ("found", f"{repeated['share']:.1%}", f"{repeated['patients']:,}"),
                ("claimed (unverified)", f"{repeated['claim']['share']:.1%}", ""),
            ],
        )
    )
    found.append(
        Table(
            "studies with a prior study, and days between",
            ("policy", "used", "with prior", "share", "days, quartiles", "most", "later"),
            [(name, *_policy(one)) for name, one in figures["policies"].items()],
        )
    )
    if "sections" in figures:
        sections = figures["sections"]
        found.append(
            Table(
                f"sections in {sections['reports']:,} reports",
                ("section", "reports", "share"),
                [
                    (name, f"{count:,}", f"{count / max(sections['reports'], 1):.1%}")
                    for name, count in sections["present"].items()
                ],
            )
        )
    if "published" in figures:
        found.append(
            Table(
                "beside the published counts",
                ("", "published", "found", ""),
                [
                    (
                        name,
                        f"{one['published']:,}",
                        f"{one['found']:,}",
                        "same" if one["same"] else "differs",
                    )
                    for name, one in figures["published"].items()
                ],
            )
        )
    return found


def remarks(figures: dict[str, Any]) -> list[str]:
    """What must be known to read the tables."""
    claim = figures["repeated"]["claim"]
    return [
        f"The claim that {claim['text']} is {claim['certainty']}.",
        "Published counts are those of MIMIC-CXR-JPG 2.0.0's official split."
        if "published" in figures
        else "This is not the whole collection: no published counts stand beside its own.",
        "“Later” counts the studies whose prior was made after them: mlrg orders studies by their "
        "number, which carries no order in time.",
    ]


def write_figure(figures: dict[str, Any], output: Path) -> None:
    """A page with the tables and the figure (`.html`), or the figure alone (`.png`).

    Raises:
        InputError: another ending.
    """
    kind = output.suffix.lower()
    if kind not in FORMATS:
        raise InputError(f"{output}: a figure ends with {' or '.join(FORMATS)}")
    buffer = io.BytesIO()
    stamp = {"Software": MAKER} if kind == ".png" else {"Date": None}
    _draw(figures).savefig(buffer, format=kind.replace("html", "svg")[1:], dpi=150, metadata=stamp)
    if kind == ".png":
        write_atomic(output, buffer.getvalue())
    else:
        drawing = buffer.getvalue().decode("utf-8")
        page = _page(tables(figures), remarks(figures), drawing[drawing.index("<svg") :])
        write_atomic(output, page)


def is_ours(file: Path) -> bool:
    """Whether `write_figure` has written a file."""
    with file.open("rb") as stream:
        return MAKER.encode() in stream.read(500)


def _whole(counts: dict[str, int], names: Sequence[str]) -> list[str]:
    return [f"{counts[name]:,}" for name in names]


def _policy(one: dict[str, Any]) -> tuple[str, ...]:
    days = one["days"]
    figures = (f"{one['studies']:,}", f"{one['with_prior']:,}")
    if not days["n"]:
        return (*figures, "–", "–", "–", "–")
    quartiles = " / ".join(f"{value:.0f}" for value in days["quartiles"])
    later = f"{days['prior_is_later']:,}"
    return (*figures, f"{one['share']:.1%}", quartiles, f"{days['longest']:,}", later)


def _draw(figures: dict[str, Any]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    per_patient = figures["repeated"]["studies_per_patient"]
    left.bar(list(per_patient), list(per_patient.values()), color=ACCENT)
    share = figures["repeated"]["share"]
    left.set_title(f"studies a patient\n{share:.1%} have two or more (claimed: 67 %)")
    left.set_ylabel("patients")
    policies = figures["policies"]
    shares = [one["with_prior"] / max(one["studies"], 1) * 100 for one in policies.values()]
    middle.barh(list(policies), shares, color=ACCENT)
    middle.invert_yaxis()
    middle.set_xlim(0, 100)
    middle.set_title("studies with a prior study\n% of those the policy uses")
    classes = policies["study"]["days"].get("classes", {})
    right.bar(list(classes), list(classes.values()), color=ACCENT)
    right.tick_params(axis="x", rotation=45)
    right.set_title("days since the study before\n(policy: study)")
    right.set_ylabel("studies")
    for axes in (left, middle, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=INK, labelsize=8)
        axes.title.set_fontsize(9)
        axes.grid(axis="x" if axes is middle else "y", color=RULE, linewidth=0.6)
        axes.set_axisbelow(True)
    return figure


def _page(found: Sequence[Table], said: Sequence[str], drawing: str) -> str:
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta name="generator" content="{MAKER}">',
        "<title>The collection</title><style>",
        "body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}",
        "table{border-collapse:collapse;margin:1rem 0}caption{text-align:left;font-weight:600}",
        "th,td{padding:.15rem .8rem;text-align:right;border-bottom:1px solid #ddd}",
        "th:first-child,td:first-child{text-align:left}svg{max-width:100%;height:auto}",
        f"</style><h1>The collection</h1>{drawing}",
    ]
    for title, columns, rows in found:
        head = "".join(f'<th scope="col">{html.escape(name)}' for name in columns)
        body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}" for cell in row) for row in rows)
        parts.append(f"<table><caption>{html.escape(title)}</caption><tr>{head}{body}</table>")
    parts += [f"<p>{html.escape(sentence)}</p>" for sentence in said]
    return "\n".join(parts) + "\n"
