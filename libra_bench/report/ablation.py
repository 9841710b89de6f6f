"""The ablation of the prior image as a page: what each condition is worth, and what it costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from libra_bench.core.files import read_json
from libra_bench.report.view import number

TITLES = {
    "bleu4": "BLEU-4",
    "rouge_l": "ROUGE-L",
    "temporal_f1": "temporal F1",
    "finding_accuracy": "findings right",
}


def ablation_page(path: Path) -> str:
    """`ablation.json` as Markdown: a row a condition, a column a figure, intervals beside both.

    Raises:
        InputError: a file that is missing or no JSON.
    """
    record = read_json(path)
    run, rows = record["run"], record["rows"]
    found = {(row["condition"], row["figure"]): row for row in rows}
    conditions = list(dict.fromkeys(row["condition"] for row in rows))
    figures = list(dict.fromkeys(row["figure"] for row in rows))
    unit = run.get("unit", "patients")
    head = ["", *(TITLES.get(figure, figure) for figure in figures)]
    values = [[name, *(_value(found[name, figure]) for figure in figures)] for name in conditions]
    lost = [
        [name, *(_difference(found[name, figure]) for figure in figures)] for name in conditions[1:]
    ]
    return "\n".join(
        [
            "# Does the prior image matter?",
            "",
            f"{run['model_id']} on {run['studies']} studies with a prior of {run['patients']} "
            f"{unit} ({run['cohort']}); {run['system'].get('decoding', 'no decoding')}. "
            f"Brackets: 95 % intervals of {run['trials']:,} resamplings of {unit}.",
            "",
            *_table(head, values),
            "",
            "Lost against the true prior, with the interval and the p-value of a paired test:",
            "",
            *_table(head, lost),
            "",
        ]
    )


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    lines = [head, ["---", *("--:" for _ in head[1:])], *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def _value(row: dict[str, Any]) -> str:
    return f"{number(row['value'], 1)} ({number(row['low'], 1)} – {number(row['high'], 1)})"


def _difference(row: dict[str, Any]) -> str:
    interval = f"{number(row['difference_low'], 1)} – {number(row['difference_high'], 1)}"
    p = row["p"]
    shown = "–" if p is None else f"p {'<' if p < 0.001 else '='} {max(p, 0.001):.3f}"
    return f"{number(row['difference'], 1)} ({interval}), {shown}"
