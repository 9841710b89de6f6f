"""`libra-bench models` and `libra-bench metrics`: what there is to name."""

from __future__ import annotations

import textwrap
from typing import Annotated

import typer

from libra_bench.cli import options
from libra_bench.cli.console import print_json, say, show

MODEL_ROW = "{:<22}{:<9}{:>8}  {:<12}{}"
"""One model's line; every line fits into 80 columns."""
METRIC_ROW = "{:<24}{:<9}{:<16}{}"
"""One metric's line; its figures stand below it."""


def models(json: options.Json = False) -> None:
    """Models by name, and whether their weights are on this machine."""
    from libra_bench.model import places, zoo

    rows = [
        {**zoo.describe(entry), "missing": [gap.what for gap in places.lacking(entry)]}
        for entry in zoo.ZOO.values()
    ]
    if json:
        print_json(rows)
        return
    show(MODEL_ROW.format("model", "weights", "size", "section", "conversation"))
    for row in rows:
        size = f"{row['gigabytes_bfloat16']:.3g} GB" if row["gigabytes_bfloat16"] else "–"
        needed = row["kind"] == "model"
        lacks = "no tower" if row["present"] else "missing"
        state = (lacks if row["missing"] else "present") if needed else "none"
        mode = row["conv_mode"] or "–"
        show(MODEL_ROW.format(row["name"], state, size, row["section"], mode))
        source = row["hub_id"] or "this package"
        show(f"  from {source}, licence: {row['licence']}")
        if row["tower"]:
            show(f"  tower {row['tower']}")
    say("`libra-bench doctor` says where they are and how to get what is missing.")


def metrics(
    profile: Annotated[
        str | None, typer.Option(help="libra, coco or rexrank; all if unset.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Metrics by name: their figures, direction, range and needs."""
    from libra_bench.metrics import registry

    rows = registry.listing(profile)
    if json:
        print_json(rows)
        return
    for name in dict.fromkeys(row["profile"] for row in rows):
        show(METRIC_ROW.format(f"profile {name}", "better", "range", "needs"))
        for row in rows:
            if row["profile"] == name:
                better = "higher" if row["higher_is_better"] else "lower"
                needs = ", ".join(row["requires"]) or "–"
                show(METRIC_ROW.format(f"  {row['name']}", better, row["range"], needs))
                # Names are never cut: who reads them types them.
                for line in textwrap.wrap(", ".join(row["outputs"]), 72):
                    show(f"      {line}")
