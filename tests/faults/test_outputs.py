"""Promise 5: an output never destroys what it did not make."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
import torch
from program import cohort, read_lines
from safetensors.torch import load_file
from typer.testing import CliRunner

from libra_bench.cli.program import app
from libra_bench.core import outputs
from libra_bench.core.errors import InputError
from libra_bench.core.files import is_leftover, temporary_name, write_atomic, write_json
from libra_bench.core.outputs import (
    UNFINISHED,
    check_file,
    check_folder,
    holds_something,
    private_folder,
)
from libra_bench.data.corpora import synthetic
from libra_bench.gate import junit, markdown
from libra_bench.gate.judgement import Outcome
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


@pytest.mark.parametrize("option", ["--junit", "--markdown"])
def test_the_gate_s_pages_replace_their_own_alone(tmp_path: Path, option: str) -> None:
    """Every run of CI writes them again; a slip must cost neither the baseline nor a note."""
    mine, baseline, empty = tmp_path / "mine", tmp_path / "b.json", tmp_path / "empty"
    mine.write_text('<?xml version="1.0"?>\n## My notes\n')
    baseline.write_text("{}")
    empty.write_text("")
    given = ("check", "--run", tmp_path / "absent", "--baseline", baseline, option)
    for output, word in ((mine, "--force replaces it"), (baseline, "an input of this command")):
        before = output.read_text()
        answer = invoke(*given, output)
        assert answer.exit_code == 2 and word in " ".join(answer.output.split()), answer.output
        assert output.read_text() == before
    made = {
        "--junit": junit.junit(Outcome("b", "r", 0.05, strict=False)),
        "--markdown": markdown.markdown(Outcome("b", "r", 0.05, strict=False)),
    }[option]
    for output, content in ((mine, made), (empty, ""), (tmp_path / "new", None)):
        if content is not None:
            output.write_text(content)
        assert "not a baseline" in invoke(*given, output).output, "refused later"


@pytest.mark.parametrize("command", ["synth", "merge", "train", "ablate", "prepare", "save"])
def test_who_comes_second_looks_again_under_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """Between the first look and the lock another process may begin and end its work."""
    output, held = tmp_path / "o", outputs.hold

    def meanwhile(path: Path) -> Any:
        release = held(path)
        if path == output:
            target = output if command == "save" else output / "theirs"
            target.write_text("keep")
        return release

    monkeypatch.setattr(outputs, "hold", meanwhile)
    run = tmp_path / "run"
    if command == "save":
        given = ("run", "--model", "normal-template", "--limit", 4, "--trials", 5)
        assert invoke(*given, "--metrics", "bleu", "--output", run).exit_code == 0
    answer = invoke(*second(command, tmp_path, run), "--output", output)
    assert answer.exit_code == 2, answer.output
    assert "is not empty" in answer.output or "is there already" in answer.output, answer.output
    left = output if command == "save" else output / "theirs"
    assert left.read_text() == "keep"
    if command != "save":
        assert [one.name for one in output.iterdir()] == ["theirs"]


def second(command: str, folder: Path, run: Path) -> tuple[object, ...]:
    """A command that writes much, but for its output."""
    if command in ("merge", "train"):
        tiny = zoo.is_present(zoo.find("libra-tiny"))
        assert tiny is not None
        images = folder / "images"
        row = read_lines(cohort(images, 1))[0]
        talk = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "Clear."}]
        write_json(
            folder / "t.json", [{"id": "a", "image": row["image"][0], "conversations": talk}]
        )
        connector = folder / "c"
        connector.mkdir()
        weights = load_file(tiny / "model.safetensors")
        learned = {name: one for name, one in weights.items() if "mm_projector" in name}
        torch.save(learned, connector / "mm_projector.bin")
        (connector / "config.json").write_text((tiny / "config.json").read_text())
        if command == "merge":
            return ("merge", "--model", connector, "--model-base", tiny)
        return (
            *("train", "--stage", "align", "--model", "libra-tiny", "--data", folder / "t.json"),
            *("--image-root", images, "--use_cpu", "true", "--max_steps", 1),
        )
    return {
        "synth": ("data", "synth", "--patients", 4),
        "ablate": ("ablate", "--model", "normal-template", "--baselines", "", "--limit", 20),
        "prepare": ("data", "prepare", "mimic-cxr", "--root", synthetic.built_in()),
        "save": ("baseline", "save", run),
    }[command]


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


def test_a_path_below_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for check in (check_file, check_folder):
        with pytest.raises(InputError, match=r"file is not a folder"):
            check(tmp_path / "file" / "below")
