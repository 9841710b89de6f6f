"""The shipped workflows: they are valid, and every command in them is one that the program has."""

import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer
import yaml

from libra_bench.cli.program import app
from libra_bench.configuration import read

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "ci"
SCHEMAS = {"github.yml": "vendor.github-workflows", "gitlab.yml": "vendor.gitlab-ci"}


def commands(value: object) -> Iterator[list[str]]:
    """Each line of a script that runs libra-bench, as words."""
    if isinstance(value, dict):
        for name, item in value.items():
            lines = item if isinstance(item, list) else [item]
            if name in ("run", "script", "before_script", "after_script"):
                for line in "\n".join(map(str, lines)).splitlines():
                    if line.strip().startswith("libra-bench "):
                        yield shlex.split(line)
            yield from commands(item)
    elif isinstance(value, list):
        for item in value:
            yield from commands(item)


@pytest.mark.parametrize("name", SCHEMAS)
def test_commands_are_those_of_the_program(name: str, tmp_path: Path) -> None:
    found = list(commands(yaml.safe_load((FOLDER / name).read_text())))
    # Pages of single studies are for versions that have them; the workflows ask before they call.
    assert [words[1] for words in found] == ["check", "browse"]
    asked = "if libra-bench browse --help", "&& libra-bench browse --help"
    assert any(one in (FOLDER / name).read_text() for one in asked)
    program = typer.main.get_command(app)
    with click.Context(program) as context:
        known = [words for words in found if program.get_command(context, words[1])]
    assert known
    for words in known:
        # A variable stands for something that is there.
        words = [str(FOLDER / "libra-bench.toml") if "CONFIG" in word else word for word in words]
        with click.Context(program) as context:
            command = program.get_command(context, words[1])
            assert command is not None
            command.make_context(words[1], words[2:], parent=context)


def test_the_configuration_can_be_read() -> None:
    found = read(FOLDER / "libra-bench.toml")
    assert found.run() is not None and found.baseline == FOLDER / "baselines" / "main.json.gz"
    for name in SCHEMAS:
        text = (FOLDER / name).read_text()
        for place in ("runs/gate", "gate.md", "gate.xml"):
            assert place in text


def test_the_first_baseline_is_of_the_run_that_is_gated() -> None:
    lines = (FOLDER / "libra-bench.toml").read_text().splitlines()
    told = [shlex.split(line[1:]) for line in lines if line.startswith("#   libra-bench ")]
    (run, save) = told
    table = read(FOLDER / "libra-bench.toml").tables.run
    given = dict(zip(run[2::2], run[3::2], strict=True))
    assert given.pop("--output") == save[3] == "runs/main"
    assert given == {
        "--model": table.model,
        "--data": table.data,
        "--limit": str(table.limit),
        "--metrics": ",".join(table.metrics),
    }
    assert save[-1] == "baselines/main.json.gz"


@pytest.mark.parametrize("name", SCHEMAS)
def test_workflows_are_valid(name: str) -> None:
    pytest.importorskip("check_jsonschema", reason="needs check-jsonschema")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", SCHEMAS[name]]
    answer = subprocess.run([*command, FOLDER / name], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
