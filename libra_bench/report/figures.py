"""Figures as inline SVG that follows the page's colours and fonts."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from libra_bench.report.load import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Matplotlib wants fixed colours; these stand for the page's and are replaced in the SVG, so that
# one figure serves the light page, the dark page and print.
INK, ACCENT, RULE = "#010203", "#040506", "#070809"
PAGE_COLOURS = {INK: "var(--ink-soft)", ACCENT: "var(--accent)", RULE: "var(--rule)"}
BINS = 20


def on_percent_scale(figure: Figure) -> bool:
    """Whether a figure belongs on the common axis: higher is better, between 0 and 100."""
    bounds = [one for one in (figure.value, figure.low, figure.high) if one is not None]
    return figure.higher_is_better and bool(bounds) and min(bounds) >= 0 and max(bounds) <= 100


def intervals(figures: Sequence[Figure]) -> str:
    """A point and an interval for each figure, on one axis from 0."""
    height = 0.6 + 0.26 * len(figures)

    def draw(axes: Axes) -> None:
        rows = np.arange(len(figures))
        for row, figure in zip(rows, figures, strict=True):
            if figure.low is not None and figure.high is not None:
                axes.plot([figure.low, figure.high], [row, row], color=ACCENT, linewidth=2.2)
        values = [np.nan if figure.value is None else figure.value for figure in figures]
        axes.plot(values, rows, "|", color=ACCENT, markersize=9, markeredgewidth=1.4)
        axes.set_yticks(rows, [figure.title for figure in figures])
        axes.set_ylim(len(figures) - 0.4, -0.6)
        axes.set_xlim(0, 1.04 * max(one.high or one.value or 0 for one in figures) or 1)
        axes.grid(axis="x", color=RULE, linewidth=0.6)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)

    return _svg(draw, 4.6, height, "Figures with their intervals", "intervals")


def distribution(values: NDArray[np.float64], figure: Figure, name: str) -> str:
    """A histogram of the scored reports' own figures, with their median.

    Args:
        values: [n], NaN where a report was not scored; at least one is not.
        figure: the figure over all of them.
        name: makes the SVG's ids differ from those of other figures on the page.
    """
    from matplotlib.ticker import MaxNLocator

    scored = values[np.isfinite(values)]
    percent = on_percent_scale(figure) and scored.min() >= 0 and scored.max() <= 100

    def draw(axes: Axes) -> None:
        bounds = (0, 100) if percent else None
        axes.hist(scored, bins=BINS, range=bounds, color=ACCENT, alpha=0.6, rwidth=0.9)
        axes.axvline(float(np.median(scored)), color=INK, linewidth=1.2, dashes=(3, 2))
        axes.set_title(figure.title, loc="left", fontsize=9, color=INK)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=3, integer=True))
        axes.tick_params(length=2)

    return _svg(draw, 2.3, 1.45, f"Distribution of {figure.title} over reports", name)


def _svg(draw: Callable[[Axes], None], width: float, height: float, label: str, name: str) -> str:
    """Draw on fresh axes, without pyplot's global state."""
    import matplotlib
    from matplotlib.figure import Figure as Canvas

    settings: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        # Titles come from files: a dollar sign in one is a dollar sign.
        "text.parse_math": False,
        "font.size": 8.5,
        "axes.edgecolor": RULE,
        "xtick.color": INK,
        "ytick.color": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
    }
    with matplotlib.rc_context(settings):
        canvas = Canvas(figsize=(width, height), layout="constrained")
        axes = canvas.add_subplot()
        draw(axes)
        buffer = io.StringIO()
        canvas.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return _inline(buffer.getvalue(), label)


def _inline(svg: str, label: str) -> str:
    """A matplotlib SVG file as part of a page."""
    from markupsafe import escape

    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r"font: [^;\"]*px [^;\"]*", _font_size, svg)
    for stand_in, colour in PAGE_COLOURS.items():
        svg = svg.replace(stand_in, colour)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{escape(label)}" ', 1)


def _font_size(match: re.Match[str]) -> str:
    """The size alone; the face is the page's."""
    size = re.search(r"[\d.]+px", match[0])
    return f"font-size: {size[0]}" if size else ""
