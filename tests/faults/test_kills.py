"""Kills at chosen points: between a file and its name, in the middle of work, behind its end."""

import json
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
number, done, original = int(sys.argv.pop(1)), 0, Path.replace
def replace(self, target):
    global done
    done += 1
    if done == number:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(self, target)
Path.replace = replace
try:
    main()
finally:
    print("renames", done)
"""
RUN = ("run", "--model", "normal-template", "--limit", 12, "--metrics", "bleu", "--trials", 20)


def at_rename(number: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    """The program, killed before it gives the `number`-th file its name; 0 kills at none."""
    command = [sys.executable, "-c", KILLED_AT_RENAME, str(number), *map(str, arguments)]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """What a run that nobody kills leaves, and how many files it gave their names."""
    folder = tmp_path_factory.mktemp("whole")
    synthetic.built_in()
    answer = at_rename(0, *RUN, "--output", folder / "run")
    assert answer.returncode == 0, answer.stderr
    return folder, int(answer.stdout.split()[-1])


@pytest.mark.parametrize("place", [1, 2, -2, -1, 0])
def test_a_run_killed_before_a_file_has_its_name(
    whole: tuple[Path, int], tmp_path: Path, place: int
) -> None:
    """The first files are the manifest and the examples, the last ones the pages and the manifest.

    The status says `finished` only where the pages are there.
    """
    folder, total = whole
    output = ("--output", tmp_path / "run")
    number = place if place > 0 else total + place
    assert at_rename(number, *RUN, *output).returncode == -signal.SIGKILL
    manifest = tmp_path / "run" / "manifest.json"
    assert number == 1 or json.loads(manifest.read_text())["status"] == "started"
    assert (tmp_path / "run" / "report.md").is_file() == (number == total)
    answer = call(*RUN, *output, "--resume")
    assert answer.returncode == 0, answer.stderr
    assert run_folder(tmp_path / "run") == run_folder(folder / "run")
    names = {one.name for one in (tmp_path / "run").iterdir()}
    assert names == {one.name for one in (folder / "run").iterdir()}, "nothing is left over"


def test_prepare_killed_before_a_file_has_its_name(tmp_path: Path) -> None:
    given = ("data", "prepare", "mimic-cxr", "--root", synthetic.built_in())
    assert call(*given, "--output", tmp_path / "whole").returncode == 0
    for number in (1, 4):
        output = ("--output", tmp_path / str(number))
        assert at_rename(number, *given, *output).returncode == -signal.SIGKILL
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
    # A worker that stays for good is found by the test's own timeout.
    while left_behind(output):
        time.sleep(0.05)
    small = ("data", "synth", "--patients", 6, "--output")
    assert call(*small, output).returncode == 0
    assert call(*small, tmp_path / "whole").returncode == 0
    assert tree(output) == tree(tmp_path / "whole")
    again = call(*small, output)
    assert again.returncode == 2 and "is not empty" in again.stderr
