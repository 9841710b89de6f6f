"""Writes `reports/engines/README.md` from its records: `python benchmarks/engines_page.py`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent / "reports" / "engines"
HEAD = """# Engines

Fast against reference, each record measured in one run by `python benchmarks/engines.py` with
random weights and a forced number of new tokens. The bound of a step is what the device's memory
and arithmetic allow (roofline). Both engines chose the same token ids, or the
record says otherwise. The raw timings are in the JSON files. This page is generated from them by
`python benchmarks/engines_page.py`.

| record | device | decoding | reference | fast | speed-up | step / bound | equal ids | memory |
|---|---|---|---|---|---|---|---|---|
"""


def step(record: dict[str, Any]) -> str:
    """The fast engine's decode step and what the device's memory and arithmetic allow, in ms."""
    times = (record["records"]["fast"].get("step_seconds"), record.get("roofline_step_seconds"))
    return " / ".join("–" if one is None else f"{1000 * one:.1f} ms" for one in times)


def row(path: Path) -> str:
    """One record as a row of the table."""
    record = json.loads(path.read_text())
    settings = dict(part.split("=") for part in record["decoding"].split(","))
    timed = {
        name: f"{one['seconds_per_report']:.2f} s a report ({one['studies']} studies)"
        for name, one in record["records"].items()
    }
    memory = " / ".join(
        f"{record['records'][name]['peak_bytes'] / 1e9:.2f} GB" for name in ("fast", "reference")
    )
    device = f"{record['device']}, {record['threads']} threads, {record['dtype']}"
    equal = "yes" if record["equal_ids"] else "no"
    decoding = f"{settings['num_beams']} beams, {settings['max_new_tokens']} tokens"
    cells = (
        f"[{path.stem}]({path.name})",
        f"{device}, torch {record['torch']}",
        decoding,
        timed["reference"],
        timed["fast"],
        f"{record['speedup']:.1f}×",
        step(record),
        equal,
        memory,
    )
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    (FOLDER / "README.md").write_text(HEAD + "".join(map(row, sorted(FOLDER.glob("*.json")))))
