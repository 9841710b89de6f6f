"""Trials with damaged run folders: each file is damaged, then the commands that read it run."""

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forked import Told, invoke
from program import read_lines

RUN = ("run", "--model", "normal-template", "--limit", 12, "--metrics", "bleu", "--trials", 20)


@dataclass
class Trial:
    """One bad input.

    Attributes:
        answer: reads what the command gave; None where exit code 0 need not mean a known answer.
        whole: what it gives where nothing is wrong.
    """

    name: str
    arguments: tuple[object, ...]
    answer: Callable[[Told], Any] | None = None
    whole: Any = None
    stdin: bytes = b""


def damages(draw: random.Random) -> dict[str, Callable[[Path], None]]:
    """What may happen to a file."""

    def flip(path: Path) -> None:
        data = bytearray(path.read_bytes())
        place = draw.randrange(len(data)) if data else 0
        data[place : place + 1] = bytes([data[place] ^ 0x15]) if data else b"x"
        path.write_bytes(data)

    def cut(path: Path) -> None:
        data = path.read_bytes()
        path.write_bytes(data[: draw.randrange(len(data) or 1)])

    def instead(make: Callable[[Path], None]) -> Callable[[Path], None]:
        def change(path: Path) -> None:
            path.unlink()
            make(path)

        return change

    def lost_line(path: Path) -> None:
        lines = path.read_bytes().splitlines(keepends=True)
        del lines[draw.randrange(len(lines))]
        path.write_bytes(b"".join(lines))

    texts = {
        "empty": b"",
        "null": b"null",
        "list": b"[]",
        "object": b"{}",
        "zeros": bytes(4096),
        "noise": draw.randbytes(3000),
        "deep": b"[" * 50_000,
        "latin": "é\n".encode("latin-1"),
    }
    return {
        **{name: lambda path, text=text: path.write_bytes(text) for name, text in texts.items()},
        "flip": flip,
        "cut": cut,
        "lost line": lost_line,
        "gone": Path.unlink,
        "folder": instead(Path.mkdir),
        "pipe": instead(os.mkfifo),
        "dangling": instead(lambda path: path.symlink_to("nothing")),
        "loop": instead(lambda path: path.symlink_to(path.name)),
        "device": instead(lambda path: path.symlink_to("/dev/zero")),
    }


def damaged(folder: Path, draw: random.Random) -> Iterator[Trial]:
    """Each file of a run is damaged in turn."""
    whole, other = folder / "whole", folder / "other"
    assert invoke(folder / "s", *RUN, "--output", whole).code == 0
    model = ("run", "--model", "indication-retrieval", *RUN[3:], "--output", other)
    assert invoke(folder / "s", *model).code == 0, invoke(folder / "s", *model)
    baseline = folder / "baseline.json.gz"
    saved = invoke(folder / "s", "baseline", "save", whole, "--output", baseline)
    assert saved.code == 0, saved

    def figures(run: Path) -> Any:
        return json.loads((run / "summary.json").read_text())["metrics"]

    def commands(run: Path, out: Path) -> dict[str, tuple[tuple[object, ...], Callable[..., Any]]]:
        return {
            "report": (("report", "--run", run, "--format", "md"), lambda told: page(run)),
            "rescore": (("score", "--run", run, "--json"), lambda told: figures(run)),
            "compare": (
                ("compare", other, run, "--trials", 20, "--json"),
                lambda t: told_of(t, run),
            ),
            "check": (
                ("check", "--run", run, "--baseline", baseline, "--json"),
                lambda t: told_of(t, run),
            ),
            "export": (
                ("export", "rexrank", "--run", run, "--output", out / "export.json"),
                lambda told: (out / "export.json").read_text(),
            ),
            "save": (
                ("baseline", "save", run, "--output", out / "b.json"),
                lambda told: without_time(json.loads((out / "b.json").read_text())),
            ),
            "resume": (
                (*RUN, "--output", run, "--resume"),
                lambda told: (figures(run), said(run / "predictions.jsonl")),
            ),
        }

    def said(path: Path) -> list[tuple[str, str]]:
        return [(row["question_id"], row["text"]) for row in read_lines(path)]

    def told_of(told: Told, run: Path) -> str:
        return told.out.replace(str(run), "RUN")

    def without_time(made: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in made.items() if name != "created"}

    def page(run: Path) -> str:
        return (run / "report.md").read_text().replace(str(run), "RUN")

    known = {}
    for name in commands(whole, folder):
        place = folder / f"right-{name}" / "run"
        shutil.copytree(whole, place)
        arguments, read = commands(place, place.parent)[name]
        told = invoke(folder / "s", *arguments)
        assert told.code in (0, 3), (name, told)
        known[name] = read(told)
    kinds = damages(draw)
    pairs = [(file.name, kind) for file in sorted(whole.iterdir()) for kind in kinds]
    while True:
        file, kind = draw.choice(pairs)
        name = draw.choice(list(known))
        place = folder / "damaged" / "run"
        shutil.rmtree(place.parent, ignore_errors=True)
        shutil.copytree(whole, place)
        try:
            kinds[kind](place / file)
        except (IndexError, ValueError):
            continue
        arguments, read = commands(place, place.parent)[name]
        yield Trial(f"{name}: {file} {kind}", arguments, read, known[name])
