"""Promise 8: what the environment refuses is one line, and the cache is disposable."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from program import PROGRAM, environment, told

from libra_bench.core import cache
from libra_bench.core.errors import Notice, OutputError
from libra_bench.core.files import write_atomic
from libra_bench.data.corpora import synthetic


def as_nobody(work: str, *arguments: Path) -> subprocess.CompletedProcess[str]:
    """Python code as a user without rights; permissions do not bind root.

    Everything is imported first: the environment may lie in a folder that this user cannot read.
    """
    drop = "" if os.geteuid() != 0 else "import os; os.setgid(65534); os.setuid(65534)\n"
    imports = (
        "import sys, tempfile, warnings, platformdirs.unix; from pathlib import Path\n"
        "from libra_bench.core import cache, outputs\n"
    )
    code = f"{imports}from libra_bench.core.files import write_atomic\n{drop}{work}"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)


@pytest.fixture
def shut() -> Any:
    """A folder that nobody may write; outside pytest's own, which others may not enter."""
    folder = Path(f"/tmp/libra-bench-shut-{os.getpid()}")
    folder.mkdir(mode=0o555)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def test_a_folder_without_permission_is_named(shut: Path) -> None:
    for work in (
        "write_atomic(Path(sys.argv[1]) / 'x', 'text')",
        "outputs.check_file(Path(sys.argv[1]) / 'x')",
        "outputs.check_folder(Path(sys.argv[1]) / 'run')",
        "outputs.check_folder(Path(sys.argv[1]))",
    ):
        answer = as_nobody(work, shut)
        last = answer.stderr.strip().splitlines()[-1]
        assert str(shut) in last and "cannot be written" in last, answer.stderr


def test_a_cache_that_cannot_be_written_is_replaced_for_this_run(shut: Path) -> None:
    answer = as_nobody(
        "import os, warnings; os.environ['LIBRA_BENCH_CACHE'] = sys.argv[1]\n"
        "print(cache.cache_dir('a'), cache.cache_dir('b'), sep='\\n')",
        shut,
    )
    first, second = map(Path, answer.stdout.split())
    assert first.parent == second.parent != shut
    assert answer.stderr.count("cannot be used") == 1 and str(shut) in answer.stderr
    assert not first.exists(), "taken away with the process"


def test_a_cache_that_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").write_text("mine")
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    with pytest.warns(Notice, match="cannot be used"):
        assert cache.cache_dir("a").is_dir()
    assert (tmp_path / "cache").read_text() == "mine"


@pytest.mark.parametrize("damage", ["report gone", "image cut", "table changed", "list gone"])
def test_a_damaged_cohort_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path))
    monkeypatch.setattr(synthetic, "PATIENTS", 4)
    root = synthetic.built_in()
    before = {one: one.read_bytes() for one in root.rglob("*") if one.is_file()}
    assert synthetic.built_in() == root and root.is_dir()
    if damage == "report gone":
        next(root.rglob("s*.txt")).unlink()
    elif damage == "image cut":
        image = next(root.rglob("*.jpg"))
        image.write_bytes(image.read_bytes()[:-100])
    elif damage == "table changed":
        (root / "synthetic-latent.csv").write_text("study_id\n")
    else:
        root.with_name(f"{root.name}.sha256").unlink()
    synthetic.built_in()
    assert {one: one.read_bytes() for one in root.rglob("*") if one.is_file()} == before
    assert sorted(one.name for one in root.parent.iterdir()) == [root.name, f"{root.name}.sha256"]


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputError, match=r"x\.json: cannot be written \(No space left"):
        write_atomic(tmp_path / "x.json", "text")
    assert list(tmp_path.iterdir()) == []


def test_few_open_files(tmp_path: Path) -> None:
    shell = f"ulimit -n 12; {' '.join(PROGRAM)} run --model normal-template --limit 2"
    answer = subprocess.run(
        ["bash", "-c", f"{shell} --output {tmp_path / 'r'}"],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode:
        told(answer)
