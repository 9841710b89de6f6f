"""Mutation testing: a seeded sample of small faults, each against the tests that should notice it.

    tox -e mutants -- --count 40 --seed 1
    tox -e mutants -- --area stats --count 30 --report reports/tests

Faults are made by cosmic-ray in a copy of the sources, one at a time, and tested as a clone alone
would be. What only a type checker reads is left unchanged. The exit code is 1 where more than a
tenth of the sample survives.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENOUGH = 0.9
"""Share of the sample that must be noticed."""
SLOWEST = 600.0
"""Seconds for the tests of one mutant; one that takes longer hangs, and is noticed so."""

# Files that are mutated, and the tests that are theirs.
AREAS = {
    "stats": ("libra_bench/stats/*.py", "tests/stats tests/metrics/test_comparison.py"),
    "planning": (
        "libra_bench/perf/count*.py libra_bench/perf/plan.py libra_bench/perf/projection.py "
        "libra_bench/perf/scenario.py libra_bench/perf/cells.py libra_bench/perf/shape.py",
        "tests/perf/test_count_by_hand.py tests/perf/test_plan_by_hand.py tests/perf/test_plan.py "
        "tests/perf/test_hardware.py tests/perf/test_count.py tests/perf/test_count_families.py",
    ),
    "words": (
        "libra_bench/metrics/bleu.py libra_bench/metrics/rouge_l.py libra_bench/metrics/cider.py "
        "libra_bench/metrics/coco_*.py libra_bench/metrics/temporal_f1.py "
        "libra_bench/metrics/rexrank_bleu.py libra_bench/metrics/cleaning.py "
        "libra_bench/metrics/base.py libra_bench/metrics/radcliq.py",
        "tests/metrics/test_coco_by_hand.py tests/metrics/test_metric_base.py "
        "tests/metrics/test_radcliq.py tests/metrics/test_libra_profile.py",
    ),
    "models of metrics": (
        "libra_bench/metrics/chexbert.py libra_bench/metrics/semb.py "
        "libra_bench/metrics/radgraph/*.py libra_bench/metrics/ratescore/*.py "
        "libra_bench/metrics/sentences/*.py",
        "tests/metrics/test_chexbert_semb.py tests/metrics/test_radgraph.py "
        "tests/metrics/test_ratescore.py tests/metrics/test_sentences.py",
    ),
    "priors": (
        "libra_bench/data/priors.py libra_bench/data/pairing.py libra_bench/data/sections.py "
        "libra_bench/data/tables.py",
        "tests/data/test_priors.py tests/data/test_pairing.py tests/data/test_sections.py "
        "tests/data/test_tables.py",
    ),
    "searches": (
        "libra_bench/generation/search.py libra_bench/generation/log.py "
        "libra_bench/generation/stored.py libra_bench/generation/driver.py "
        "libra_bench/generation/engines/serving.py libra_bench/generation/shards.py",
        "tests/generation/test_search_by_hand.py tests/generation/test_log.py "
        "tests/generation/test_driver.py tests/generation/test_serving.py "
        "tests/generation/test_protocols.py tests/generation/test_search.py "
        "tests/faults/test_resume.py",
    ),
    "runs": (
        "libra_bench/runs/folder.py libra_bench/runs/forms.py libra_bench/runs/freshness.py "
        "libra_bench/runs/subgroups.py libra_bench/runs/unscored.py",
        "tests/runs tests/export/test_labels.py tests/export/test_rexrank.py",
    ),
    "export": ("libra_bench/export/*.py", "tests/export"),
    "training data": (
        "libra_bench/training/dataset.py libra_bench/training/conversations.py "
        "libra_bench/model/supervision.py",
        "tests/training/test_dataset_limits.py tests/training/test_dataset.py "
        "tests/training/test_as_published.py tests/model/test_supervision.py",
    ),
}


@dataclass(frozen=True)
class Mutant:
    """One fault and what became of it."""

    area: str
    file: str
    line: int
    operator: str
    outcome: str
    diff: str


def unread(path: Path) -> list[tuple[int, int]]:
    """Lines from and to of what is never run: annotations, and imports for types alone."""
    found: list[ast.AST] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.AnnAssign | ast.arg) and node.annotation is not None:
            found.append(node.annotation)
        elif isinstance(node, ast.FunctionDef) and node.returns is not None:
            found.append(node.returns)
        elif isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            found.append(node)
    return [_span(node) for node in found]


def _span(node: ast.AST) -> tuple[int, int]:
    """Places of a node's first and last character, as sortable numbers."""
    return (
        node.lineno * 1000 + node.col_offset,  # type: ignore[attr-defined]
        node.end_lineno * 1000 + node.end_col_offset,  # type: ignore[attr-defined]
    )


def drawn(work: Path, area: str, count: int, seed: int) -> Iterator[tuple[str, object]]:
    """A seeded sample of an area's possible mutations, with the file of each."""
    from cosmic_ray.commands import init
    from cosmic_ray.work_db import WorkDB, use_db

    files = sorted(
        path
        for pattern in AREAS[area][0].split()
        for path in work.glob(pattern)
        if path.name != "__init__.py"
    )
    with use_db(str(work / "mutants.sqlite"), WorkDB.Mode.create) as database:
        init(files, database, {})
        items = [one.mutations[0] for one in database.work_items]
    never = {path: unread(path) for path in files}
    items = [
        one
        for one in items
        if not any(
            first <= one.start_pos[0] * 1000 + one.start_pos[1] < last
            for first, last in never[Path(one.module_path)]
        )
    ]
    items.sort(key=lambda one: (str(one.module_path), one.start_pos, one.operator_name))
    random.Random(f"{seed} {area}").shuffle(items)
    for one in items[:count]:
        yield str(Path(one.module_path).relative_to(work)), one


def tried(area: str, count: int, seed: int) -> list[Mutant]:
    """What became of each mutant of an area's sample."""
    from cosmic_ray.mutating import mutate_and_test

    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        work = Path(folder)
        for name in ("libra_bench", "tests", "docs", "reports", "examples"):
            shutil.copytree(ROOT / name, work / name, ignore=shutil.ignore_patterns("__pycache__"))
        for file in [*ROOT.glob("*.md"), ROOT / "pyproject.toml", ROOT / "tox.ini"]:
            shutil.copy(file, work / file.name)
        # cosmic-ray runs its command in the working directory, with this process's environment.
        os.chdir(work)
        os.environ |= {
            "PYTHONPATH": os.pathsep.join([str(work), os.environ.get("PYTHONPATH", "")]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "LIBRA_BENCH_PARITY": str(work / "no-kits"),
            "LIBRA_BENCH_DATA": str(work / "no-data"),
        }
        tests = [name for name in AREAS[area][1].split() if (work / name).exists()]
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            raise SystemExit(f"{area}: the tests fail without any mutant: {' '.join(tests)}")
        found = []
        for file, mutation in drawn(work, area, count, seed):
            result = mutate_and_test([mutation], " ".join(command), SLOWEST)  # type: ignore[list-item]
            outcome = str(getattr(result.test_outcome, "value", result.worker_outcome.value))
            line = mutation.start_pos[0]  # type: ignore[attr-defined]
            name = mutation.operator_name.removeprefix("core/")  # type: ignore[attr-defined]
            diff = (result.diff or "").replace(f"/{work}", "")
            found.append(Mutant(area, file, line, name, outcome, diff))
            print(f"{outcome:9} {file}:{line} {name}", flush=True)
        os.chdir(ROOT)
        return found


def report(found: list[Mutant], seed: int, folder: Path) -> None:
    """Put the areas that were tried into the folder's record, in the place of what it says of them.

    `reason`, which people write beside a survivor, is kept where the same mutant survives again.
    """
    path = folder / "mutants.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    reasons = {one["diff"]: one["reason"] for one in known if "reason" in one}
    areas = {one.area for one in found}
    rows = [one for one in known if one["area"] not in areas]
    for one in found:
        row = {**asdict(one), "seed": seed}
        if one.outcome == "survived" and one.diff in reasons:
            row["reason"] = reasons[one.diff]
        rows.append(row)
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def main() -> int:
    """Draw, try, and say what was not noticed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--area", action="append", choices=list(AREAS), help="all where none is")
    parser.add_argument("--count", type=int, default=40, help="mutants over all areas")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report", type=Path, help="a folder for mutants.json")
    chosen = parser.parse_args()
    areas = chosen.area or list(AREAS)
    found: list[Mutant] = []
    for number, area in enumerate(areas):
        share = (chosen.count * (number + 1)) // len(areas) - (chosen.count * number) // len(areas)
        if share:
            own = tried(area, share, chosen.seed)
            found += own
            if chosen.report:
                report(own, chosen.seed, ROOT / chosen.report)
    survivors = [one for one in found if one.outcome == "survived"]
    for one in survivors:
        print(f"\nnot noticed: {one.file}:{one.line}\n{one.diff}")
    noticed = len(found) - len(survivors)
    print(f"\n{noticed} of {len(found)} noticed (seed {chosen.seed})")
    return int(noticed < ENOUGH * len(found))


if __name__ == "__main__":
    raise SystemExit(main())
