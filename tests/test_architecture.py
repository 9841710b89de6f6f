"""The rules that keep the package readable: one-way imports, small files, nothing at import."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "libra_bench"
# Each part may import from itself, from its own row's right, and from nothing else.
ALLOWED = {
    "core": set(),
    "hub": {"core"},
    "data": {"core"},
    "metrics": {"core", "hub", "stats"},
    "stats": {"core"},
    "model": {"core", "data", "hub"},
    "generation": {"core", "data", "model"},
    "training": {"core", "data", "hub", "metrics", "model", "generation", "perf"},
    "runs": {"core", "metrics", "stats"},
    "perf": {"core", "data", "model", "generation"},
    "report": {"core", "data", "metrics", "runs"},
    "export": {"core", "runs"},
    "gate": {"core", "metrics", "perf", "runs", "stats"},
}
LARGEST_FILE = 400


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imported_parts(path: Path) -> set[str]:
    """Parts of the package that a file imports, inside functions as well."""
    parts = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            words = name.split(".")
            if words[0] == "libra_bench" and len(words) > 1 and (PACKAGE / words[1]).is_dir():
                parts.add(words[1])
    return parts


@pytest.mark.parametrize("part", sorted(ALLOWED))
def test_imports_run_one_way(part: str) -> None:
    for path in sorted((PACKAGE / part).rglob("*.py")):
        strangers = imported_parts(path) - ALLOWED[part] - {part}
        assert not strangers, f"{path.relative_to(PACKAGE)} imports {sorted(strangers)}"


def test_every_part_has_its_rule() -> None:
    parts = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert parts == set(ALLOWED) | {"cli"}


def test_files_stay_small() -> None:
    large = {
        str(path.relative_to(PACKAGE)): count
        for path in modules()
        if (count := len(path.read_text().splitlines())) > LARGEST_FILE
    }
    assert not large, "asking to be two files each"


@pytest.mark.parametrize(
    "module", ["libra_bench", "libra_bench.cli.program", "libra_bench.metrics"]
)
def test_importing_loads_nothing_heavy(module: str) -> None:
    heavy = ["torch", "transformers", "pandas", "numpy", "sklearn", "matplotlib", "nltk"]
    code = f"import {module}, sys; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_tests_have_names_of_their_own() -> None:
    """pytest imports them by their bare names: of two alike it collects none."""
    names = [path.name for path in Path(__file__).parent.rglob("test_*.py")]
    assert sorted(set(names)) == sorted(names)
