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
    assert [words[1] for words in found] == ["check"]
    program = typer.main.get_command(app)
    for words in found:
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


@pytest.mark.parametrize("name", SCHEMAS)
def test_workflows_are_valid(name: str) -> None:
    pytest.importorskip("check_jsonschema", reason="needs check-jsonschema")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", SCHEMAS[name]]
    answer = subprocess.run([*command, FOLDER / name], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
