"""`libra-bench models` and `libra-bench metrics`: what there is to name."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Annotated

import typer

from libra_bench.cli import options
from libra_bench.cli.console import print_json, say, show

if TYPE_CHECKING:
    from libra_bench.perf.shape import ModelShape

MODEL_ROW = "{:<22}{:<9}{:>8}  {:<12}{}"
"""One model's line; every line fits into 80 columns."""
METRIC_ROW = "{:<24}{:<9}{:<16}{}"
"""One metric's line; its figures stand below it."""


def models(
    name: Annotated[
        str | None,
        typer.Argument(help="A model or a checkpoint's folder, told in detail; all if unset."),
    ] = None,
    json: options.Json = False,
) -> None:
    """Models by name, and whether their weights are on this machine; or one in detail."""
    if name is not None:
        model(name, json=json)
        return
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


def model(name: str, *, json: bool) -> None:
    """One model: its page, its shapes, what is trained, and the memory that it takes."""
    from libra_bench.model import places, zoo
    from libra_bench.perf import card
    from libra_bench.report.published import libra_table, row_of

    folder = zoo.folder_of(name) is not None
    entry = None if folder else zoo.find(name)
    shape = card.shape_by_name(name)
    known = {} if entry is None else zoo.describe(entry)
    missing = [] if entry is None else [gap.what for gap in places.lacking(entry)]
    published = None if entry is None or entry.hub_id is None else row_of(entry.hub_id)
    if json:
        details = None if shape is None else card.card(shape)
        figures = None if published is None else published.model_dump(mode="json")
        print_json(
            {"name": name, **known, "missing": missing, "card": details, "published": figures}
        )
        return
    for key in ("description", "hub_id", "tower", "licence", "section", "conv_mode", "protocol"):
        if known.get(key):
            _show_fact(key.replace("_", " "), str(known[key]))
    for gap in missing:
        _show_fact("missing", gap)
    if shape is None:
        needless = entry is not None and entry.kind == "baseline"
        say("no shapes: " + ("it has no weights" if needless else "its files are not here"))
    else:
        _show_card(shape)
    if published:
        table = libra_table()
        show(f"\npublished on {table.title}, n = {table.conditions['n']}")
        told = ", ".join(f"{table.columns[key]} {one}" for key, one in published.values.items())
        for line in textwrap.wrap(told, 76):
            show(f"  {line}")


def _show_fact(label: str, told: str) -> None:
    for number, line in enumerate(textwrap.wrap(told, 66, break_long_words=False)):
        show(f"{'' if number else label:<14}{line}")


def _show_card(shape: ModelShape) -> None:
    from libra_bench.perf import card

    show("\nfrom the images of one study to the prompt")
    for step, told in card.steps(shape):
        show(f"  {step:<50}{told}")
    show("\nparameters, norms and biases left out")
    for part, count in card.parameters(shape).items():
        show(f"  {part:<50}{count / 1e6:>12,.1f} M")
    show(f"\ntrained by stage (finetune: LoRA, rank {card.LORA_RANK}, all linears but the head)")
    for stage, count in card.trained(shape).items():
        show(f"  {stage:<50}{count / 1e6:>12,.1f} M")
    show(f"\nmemory on one GPU, estimated ({card.PROMPT} tokens asked, {card.NEW} answered)")
    for use, size in card.gigabytes(shape).items():
        show(f"  {use:<50}{size:>12,.1f} GB")


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
