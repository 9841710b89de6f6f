"""Promises 3, 4 and 8: terminals, pipes and signals."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from program import PROGRAM, call, cohort, environment, read_lines, refused

from libra_bench.core.printable import printable


def test_streams(tmp_path: Path) -> None:
    """A pipe that nobody reads, a terminal with few characters, a disk that is full."""
    command = " ".join(PROGRAM)
    for shell, code in (
        (f"{command} metrics | head -1", 0),
        (f"{command} metrics --json | head -c 1", 0),
        (f"{command} metrics 2>&1 >/dev/full", 1),
    ):
        answer = subprocess.run(
            ["bash", "-c", f"{shell}; exit ${{PIPESTATUS[0]}}"],
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert answer.returncode == code, answer
        assert "Traceback" not in answer.stderr + answer.stdout
    assert "standard output: cannot be written (No space left" in answer.stdout
    for encoding in ("latin-1", "ascii"):
        narrow = environment(PYTHONIOENCODING=encoding, PYTHONUTF8="0")
        for given in (("metrics",), ("metrics", "--json"), ("models",)):
            answer = call(*given, env=narrow)
            assert answer.returncode == 0, answer.stderr
            if "--json" in given:
                assert json.loads(answer.stdout)


def test_nobody_is_asked() -> None:
    code = (
        "from libra_bench.cli import streams\nstreams.prepare()\n"
        "try: print(input('run it? '))\nexcept EOFError: print('refused')\n"
        "import sys; print(len(sys.stdin.buffer.read()))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code],
        input="yes\n" * 3,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.stdout.endswith("refused\n12\n"), answer


EVIL = "\x1b]0;title\x07\x1b[31m\x9b2J\u202egnp"


def test_a_terminal_acts_on_nothing(tmp_path: Path) -> None:
    assert printable(EVIL) == "\\x1b]0;title\\x07\\x1b[31m\\x9b2J\\u202egnp"
    assert printable("tab\tline\nümlaut – ↑") == "tab\tline\nümlaut – ↑"
    examples = cohort(tmp_path / EVIL.replace("/", ""), 2)
    rows = read_lines(examples)
    rows[0]["question_id"] = EVIL
    del rows[1]["text"]
    rows[1]["question_id"] = EVIL
    examples.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for given in (
        ("--examples", examples),
        ("--examples", tmp_path / EVIL),
        ("--model", EVIL, "--examples", examples),
    ):
        given = ("generate", "--model", "libra-tiny", "--image-root", tmp_path, *given)
        answer = call(*given, "--output", tmp_path / "out.jsonl")
        refused(answer)
        shown = answer.stdout + answer.stderr
        assert not set(shown) & {"\x1b", "\x07", "\x9b", "\u202e"}, shown


def test_markup_in_a_name_is_a_name(tmp_path: Path) -> None:
    folder = tmp_path / "[" / "x]"
    folder.mkdir(parents=True)
    answer = call("run", "--model", folder, "--output", tmp_path / "o")
    refused(answer, "[/x]", "no config.json")


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_signals_end_as_an_interruption_does(number: signal.Signals) -> None:
    code = (
        "import os, sys\nfrom libra_bench.cli import streams\nstreams.hear_signals()\n"
        f"try:\n    os.kill(os.getpid(), {int(number)})\n    import time; time.sleep(9)\n"
        "except KeyboardInterrupt:\n"
        f"    os.kill(os.getpid(), {int(signal.SIGTERM)})\n"
        f"    os.kill(os.getpid(), {int(signal.SIGHUP)})\n    print('ended well')"
    )
    command = [sys.executable, "-c", code]
    answer = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert answer.stdout == "ended well\n", answer


def test_nohup_stays_in_force() -> None:
    code = (
        "import signal\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from libra_bench.cli import streams\nstreams.hear_signals()\n"
        "print(signal.getsignal(signal.SIGHUP) == signal.SIG_IGN)"
    )
    command = [sys.executable, "-c", code]
    answer = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert answer.stdout == "True\n", answer


@pytest.mark.parametrize("place", ["typer.main.get_command", "libra_bench.cli.streams.prepare"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_a_command_is_chosen(place: str, number: signal.Signals) -> None:
    """While the commands are imported and put together nothing of ours is on the stack yet."""
    module, _, name = place.rpartition(".")
    code = (
        f"import os, {module}\nfrom libra_bench.cli import main, streams\n"
        "streams.hear_signals()\n"
        f"def stopped(*given):\n    os.kill(os.getpid(), {int(number)})\n"
        "    import time; time.sleep(9)\n"
        f"{module}.{name} = stopped\nmain()"
    )
    command = [sys.executable, "-c", code, "metrics"]
    answer = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert answer.returncode == 130, answer
    assert answer.stderr == "error: interrupted before anything was begun\n"


def test_a_signal_behind_the_end_is_no_fault() -> None:
    code = (
        "import atexit, os, signal, time\nfrom libra_bench.cli import main\n"
        f"atexit.register(lambda: (os.kill(os.getpid(), {int(signal.SIGTERM)}), time.sleep(9)))\n"
        "main()"
    )
    command = [sys.executable, "-c", code, "--version"]
    answer = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert answer.returncode == -signal.SIGTERM and not answer.stderr, answer
