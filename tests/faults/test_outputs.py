"""Promises 5 and 8: no output destroys what it did not make; the environment's faults are told."""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from program import PROGRAM, call, cohort, environment, read_lines, refused, told
from safetensors.torch import load_file
from typer.testing import CliRunner

from libra_bench.cli.program import app
from libra_bench.core import cache
from libra_bench.core.errors import InputError, Notice, OutputError
from libra_bench.core.files import is_leftover, temporary_name, write_atomic, write_json
from libra_bench.core.outputs import (
    UNFINISHED,
    check_file,
    check_folder,
    holds_something,
    private_folder,
)
from libra_bench.core.printable import printable
from libra_bench.data.corpora import synthetic
from libra_bench.model import zoo
from libra_bench.runs.asked import require_same
from libra_bench.runs.folder import RunFolder


def invoke(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(one) for one in arguments])


def special(folder: Path) -> dict[str, Path]:
    """What must neither be replaced nor waited for, by kind."""
    (folder / "target").write_text("keep")
    (folder / "link").symlink_to(folder / "target")
    (folder / "dangling").symlink_to(folder / "nothing")
    os.mkfifo(folder / "pipe")
    (folder / "folder").mkdir()
    names = ("link", "dangling", "pipe", "folder")
    return {**{name: folder / name for name in names}, "device": Path("/dev/null")}


@pytest.mark.parametrize("kind", ["link", "dangling", "pipe", "folder", "device"])
def test_what_is_no_file_is_never_replaced(tmp_path: Path, kind: str) -> None:
    path = special(tmp_path)[kind]
    before = path.lstat()
    for write in (lambda: write_atomic(path, "new"), lambda: check_file(path)):
        with pytest.raises(InputError, match="a file was expected"):
            write()
    after = path.lstat()
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
    assert (tmp_path / "target").read_text() == "keep"
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "device"])
@pytest.mark.parametrize("command", ["generate", "export", "pair", "sections", "score"])
def test_every_command_looks_before_it_works(tmp_path: Path, kind: str, command: str) -> None:
    path = special(tmp_path)[kind]
    answer = invoke(*writing(command, tmp_path, path))
    assert answer.exit_code == 2 and "a file was expected" in answer.output, answer.output
    assert (tmp_path / "target").read_text() == "keep"


def writing(command: str, folder: Path, output: Path) -> tuple[object, ...]:
    """A command with an output; its inputs are not there, which it would say later."""
    file = folder / "absent"
    return {
        "generate": (
            *("generate", "--model", "normal-template", "--examples", file),
            *("--image-root", folder, "--output", output),
        ),
        "export": ("export", "rexrank", "--run", file, "--output", output),
        "pair": ("data", "pair", "--metadata", file, "--split-file", file, "--output", output),
        "sections": ("data", "sections", "--reports", file, "--output", output),
        "score": ("score", "--predictions", file, "--per-report", output),
    }[command]


@pytest.mark.parametrize("command", ["export", "pair", "sections", "score"])
def test_another_program_s_file_stays(tmp_path: Path, command: str) -> None:
    mine = tmp_path / "mine.csv"
    mine.write_text("patient,note\n1,keep\n")
    answer = invoke(*writing(command, tmp_path, mine))
    assert answer.exit_code == 2 and "--force replaces it" in answer.output, answer.output
    assert mine.read_text() == "patient,note\n1,keep\n"


@pytest.mark.parametrize("command", ["generate", "pair", "sections", "score"])
def test_an_input_is_no_output(tmp_path: Path, command: str) -> None:
    """Also by another name of the same file."""
    (tmp_path / "absent").write_text("an input")
    os.link(tmp_path / "absent", tmp_path / "same")
    for output in (tmp_path / "absent", tmp_path / "same"):
        answer = invoke(*writing(command, tmp_path, output))
        assert answer.exit_code == 2 and "an input of this command" in answer.output
        assert (tmp_path / "absent").read_text() == "an input"


def test_a_command_replaces_its_own_file(tmp_path: Path) -> None:
    root = synthetic.built_in()
    tables = [root / f"mimic-cxr-2.0.0-{name}.csv.gz" for name in ("metadata", "split")]
    pair = ("data", "pair", "--metadata", tables[0], "--split-file", tables[1])
    reports = tmp_path / "reports"
    reports.mkdir()
    (reports / "s1.txt").write_text("\n FINDINGS: clear\n")
    for given in (pair, ("data", "sections", "--reports", reports)):
        output = tmp_path / f"{given[1]}.csv"
        for _ in range(2):
            answer = invoke(*given, "--output", output)
            assert answer.exit_code == 0, answer.output
        output.write_text("mine")
        assert invoke(*given, "--output", output).exit_code == 2
        assert invoke(*given, "--output", output, "--force").exit_code == 0
        assert output.read_text() != "mine"
    page = tmp_path / "page.html"
    stats = ("data", "stats", *pair[2:], "--figure", page)
    assert [invoke(*stats).exit_code for _ in range(2)] == [0, 0]
    page.write_text("<!doctype html>mine")
    assert invoke(*stats).exit_code == 2 and "mine" in page.read_text()


def test_folders_hold_one_kind_of_work(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("keep")
    (tmp_path / "file").write_text("keep")
    for place in ("mine", "file"):
        output = ("--output", tmp_path / place)
        for given in (
            ("run", "--model", "normal-template"),
            ("run", "--model", "normal-template", "--resume"),
            ("ablate",),
            ("ablate", "--resume"),
            ("data", "synth", "--patients", 4),
            ("data", "prepare", "mimic-cxr", "--root", synthetic.place()),
            ("data", "prepare", "mimic-cxr", "--root", synthetic.place(), "--resume"),
        ):
            answer = invoke(*given, *output)
            assert answer.exit_code == 2, (given, answer.output)
    assert (tmp_path / "mine" / "notes").read_text() == "keep"
    assert [one.name for one in (tmp_path / "mine").iterdir()] == ["notes"]
    assert (tmp_path / "file").read_text() == "keep"


def test_an_interrupted_merge_is_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from libra_bench.training import merging

    tiny, connector, output = zoo.is_present(zoo.find("libra-tiny")), tmp_path / "c", tmp_path / "m"
    assert tiny is not None
    weights = load_file(tiny / "model.safetensors")
    connector.mkdir()
    learned = {name: one for name, one in weights.items() if "mm_projector" in name}
    torch.save(learned, connector / "mm_projector.bin")
    (connector / "config.json").write_text((tiny / "config.json").read_text())

    def stop(*given: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(merging, "copy_tower", stop)
        with pytest.raises(KeyboardInterrupt):
            merging.merge(connector, tiny, output)
    assert (output / UNFINISHED).exists() and not (output / "config.json").exists()
    (output / "notes").write_text("keep")
    with pytest.raises(InputError, match="is not empty"):
        merging.merge(connector, tiny, output)
    (output / "notes").unlink()
    merging.merge(connector, tiny, output)
    assert not (output / UNFINISHED).exists()
    merged = load_file(output / "model.safetensors")
    assert all(merged[name].float().equal(one.float()) for name, one in learned.items())


@pytest.mark.parametrize("kind", ["another's mark", "another's file", "a link", "nothing else"])
def test_only_our_own_unfinished_cohort_is_begun_again(tmp_path: Path, kind: str) -> None:
    from libra_bench.data.synthetic import writer

    mine, output = tmp_path / "mine", tmp_path / "cohort"
    mine.mkdir()
    output.mkdir()
    files = output / writer.FILES
    files.symlink_to(mine) if kind == "a link" else files.mkdir()
    (files / "kept").write_text("keep")
    mark = "other" if kind == "another's mark" else writer._SAYS
    (output / UNFINISHED).write_text(mark)
    if kind == "another's file":
        (output / "notes").write_text("keep")
    before = {one: one.read_text() for one in output.rglob("*") if one.is_file()}
    if kind == "nothing else":
        writer.synthesize(output, 4, workers=1)
        assert not (files / "kept").exists() and not (output / UNFINISHED).exists()
        return
    with pytest.raises(InputError, match="is not empty"):
        writer.synthesize(output, 4, workers=1)
    assert before == {one: one.read_text() for one in output.rglob("*") if one.is_file()}
    assert (files / "kept").read_text() == "keep"


def test_other_settings_are_named(tmp_path: Path) -> None:
    require_same(tmp_path, {"seed": 0, "limit": 5})
    require_same(tmp_path, {"seed": 0, "limit": 5})
    before = (tmp_path / "asked.json").read_bytes()
    with pytest.raises(InputError, match=r"limit: 5 there, 6 now; seed: 0 there, 1 now"):
        require_same(tmp_path, {"seed": 1, "limit": 6})
    assert (tmp_path / "asked.json").read_bytes() == before


def test_ablations_do_not_mix(tmp_path: Path) -> None:
    given = ("--model", "normal-template", "--baselines", "", "--trials", 20)
    first = invoke("ablate", *given, "--limit", 20, "--output", tmp_path / "a")
    assert first.exit_code == 0, first.output
    kept = {one.name: one.read_bytes() for one in (tmp_path / "a").iterdir()}
    for other, word in ((("--seed", 1), "seed: 0 there, 1 now"), ((), "studies")):
        limit = 20 if other else 24
        again = ("--limit", limit, "--output", tmp_path / "a", "--resume", *other)
        answer = invoke("ablate", *given, *again)
        assert answer.exit_code == 2 and word in " ".join(answer.output.split()), answer.output
    assert kept == {one.name: one.read_bytes() for one in (tmp_path / "a").iterdir()}


def test_new_files_follow_the_umask_and_old_ones_keep_their_mode(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomic(tmp_path / "new", "text")
        private_folder(tmp_path / "deep" / "run")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "deep" / "run").stat().st_mode) == 0o700
    (tmp_path / "new").chmod(0o600)
    write_atomic(tmp_path / "new", "other")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["a", "x" * 255, "é" * 127, "[x]", "a\nb"])
def test_any_name_of_a_file_can_be_written(tmp_path: Path, name: str) -> None:
    write_atomic(tmp_path / name, "text")
    assert [one.name for one in tmp_path.iterdir()] == [name]
    assert is_leftover(Path(temporary_name(name))) and not is_leftover(Path(name))


def test_infinity_is_no_json(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"a": float("inf"), "b": [float("-inf"), 1.5]})

    def refuse(word: str) -> None:
        raise AssertionError(word)

    found = json.loads((tmp_path / "x.json").read_text(), parse_constant=refuse)
    assert found == {"a": None, "b": [None, 1.5]}


def test_what_a_kill_left_is_nothing(tmp_path: Path) -> None:
    """Between the manifest's temporary file and its name: the folder counts as empty."""
    for name in (temporary_name("manifest.json"), ".lock"):
        (tmp_path / name).write_text("{")
    assert not holds_something(tmp_path)
    RunFolder.check_output(tmp_path)
    RunFolder.reopen(tmp_path, arguments={"a": 1}, resolved={})
    assert sorted(one.name for one in tmp_path.iterdir()) == [".lock", "manifest.json"]


def test_the_manifest_tells_of_every_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from libra_bench.runs import environment as machine

    folder = RunFolder.create(tmp_path / "r", arguments={"trials": 1}, resolved={"model": "m"})
    folder.set_status("failed", "why")
    monkeypatch.setattr(machine, "versions", lambda: {"torch": "another"})
    RunFolder.reopen(tmp_path / "r", arguments={"trials": 2}, resolved={"model": "m"})
    manifest = folder.manifest()
    assert (manifest["status"], manifest["error"]) == ("started", None)
    assert manifest["arguments"] == {"trials": 2} and manifest["versions"] == {"torch": "another"}
    assert [one["arguments"]["trials"] for one in manifest["starts"]] == [1, 2]
    assert manifest["starts"][0]["versions"] != manifest["starts"][1]["versions"]
    with pytest.raises(InputError, match="model: 'm' there, 'n' now"):
        RunFolder.reopen(tmp_path / "r", arguments={}, resolved={"model": "n"})
    assert folder.manifest() == manifest


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


def test_a_path_below_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for check in (check_file, check_folder):
        with pytest.raises(InputError, match=r"file is not a folder"):
            check(tmp_path / "file" / "below")


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
