"""Kills at chosen points: between a file and its name, in the middle of work, behind its end."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from campaign import answers, left_behind, prepared, run_folder, tree
from program import call, cohort, environment, kill_when, told

from libra_bench.data.corpora import synthetic

KILLED_AT_RENAME = """
import os, signal, sys
from pathlib import Path
from libra_bench.cli import main
number, original = int(sys.argv.pop(1)), Path.replace
def replace(self, target):
    global number
    number -= 1
    if not number:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(self, target)
Path.replace = replace
main()
"""
RUN = ("run", "--model", "normal-template", "--limit", 12, "--metrics", "bleu", "--trials", 20)


def killed_at_rename(number: int, *arguments: object) -> int:
    """The program, killed before it gives the `number`-th file its name; its exit code."""
    command = [sys.executable, "-c", KILLED_AT_RENAME, str(number), *map(str, arguments)]
    return subprocess.run(command, env=environment(), capture_output=True, check=False).returncode


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What runs that nobody kills leave."""
    folder = tmp_path_factory.mktemp("whole")
    synthetic.built_in()
    assert call(*RUN, "--output", folder / "run").returncode == 0
    return folder


@pytest.mark.parametrize("number", [1, 2, 3, 5, 7, 9, 11])
def test_a_run_killed_before_a_file_has_its_name(whole: Path, tmp_path: Path, number: int) -> None:
    output = ("--output", tmp_path / "run")
    assert killed_at_rename(number, *RUN, *output) == -signal.SIGKILL
    answer = call(*RUN, *output, "--resume")
    assert answer.returncode == 0, answer.stderr
    assert run_folder(tmp_path / "run") == run_folder(whole / "run")
    names = {one.name for one in (tmp_path / "run").iterdir()}
    assert names == {one.name for one in (whole / "run").iterdir()}, "nothing is left over"


def test_prepare_killed_before_a_file_has_its_name(tmp_path: Path) -> None:
    given = ("data", "prepare", "mimic-cxr", "--root", synthetic.built_in())
    assert call(*given, "--output", tmp_path / "whole").returncode == 0
    for number in (1, 2, 3, 6, 8):
        output = ("--output", tmp_path / str(number))
        assert killed_at_rename(number, *given, *output) == -signal.SIGKILL
        answer = call(*given, *output, "--resume")
        assert answer.returncode == 0, answer.stderr
        assert prepared(tmp_path / str(number)) == prepared(tmp_path / "whole")
        assert len(list((tmp_path / str(number)).iterdir())) == 6


def test_two_writers_of_one_file(tmp_path: Path) -> None:
    """Of two that go on at once one is told, and every id is there once."""
    examples = cohort(tmp_path / "images", 12)
    output = tmp_path / "p.jsonl"
    given = (
        *("generate", "--model", "libra-tiny", "--examples", examples),
        *("--image-root", tmp_path / "images", "--output", output, "--resume"),
        *("--max-new-tokens", 4, "--batch-size", 1),
    )
    command = [sys.executable, "-m", "libra_bench", *map(str, given)]
    with subprocess.Popen(
        command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as first:
        lock = tmp_path / ".p.jsonl.lock"
        while not lock.exists() and first.poll() is None:
            time.sleep(0.01)
        first.send_signal(signal.SIGSTOP)
        second = call(*given)
        first.send_signal(signal.SIGCONT)
        assert first.wait(timeout=120) == 0
    assert second.returncode == 2
    told(second, "another process is writing there")
    assert len(answers(output)) == 12
    assert call(*given).returncode == 0 and len(answers(output)) == 12


def test_a_killed_cohort_leaves_no_worker_and_begins_again(tmp_path: Path) -> None:
    output = tmp_path / "cohort"
    given = ("data", "synth", "--patients", 40, "--output", output)
    code = kill_when(lambda: any(output.glob("files/*/*/*/*")), *given)
    assert code == -signal.SIGKILL
    deadline = time.monotonic() + 30
    while left_behind(output):
        assert time.monotonic() < deadline, "workers are left behind"
        time.sleep(0.05)
    small = ("data", "synth", "--patients", 6, "--output")
    assert call(*small, output).returncode == 0
    assert call(*small, tmp_path / "whole").returncode == 0
    assert tree(output) == tree(tmp_path / "whole")
    again = call(*small, output)
    assert again.returncode == 2 and "is not empty" in again.stderr


def test_a_run_is_finished_only_with_its_pages(tmp_path: Path) -> None:
    """Killed while the pages are written: the status does not say that they are there."""
    import json

    output = tmp_path / "run"
    # The pages are the last files but for the manifest.
    for number in (9, 10, 11, 12):
        place = output / str(number)
        output.mkdir(exist_ok=True)
        killed_at_rename(number, *RUN, "--output", place)
        status = json.loads((place / "manifest.json").read_text())["status"]
        pages = [(place / name).is_file() for name in ("report.html", "report.md")]
        assert status == "started" or all(pages)
