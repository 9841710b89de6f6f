"""Bad input by the hundred: no traceback, and no other answer with exit code 0.

    python tests/faults/attack.py --seed 1 [--kinds damaged,lines,options] [--count 100]

Damaged: each file of a run folder is damaged, then the commands that read it run. Lines: files of
examples and predictions with broken lines. Options: every option of every command, out of range.
"""

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from forked import Told, invoke, load
from program import cohort, read_lines, write_lines

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


VALUES = (
    *(None, True, 0, -1, 1.5, 1e308, float("nan"), float("inf"), "", " ", "\0", "\ud800"),
    *("a\nb", "x" * 70_000, [], {}, ["a"], [["a"]], {"a": 1}, [None], 10**400, "../../etc/passwd"),
    *("/dev/zero", "\x1b[2J", ["0.png"] * 9, "NaN", "null", 2**63),
)


def lines(folder: Path, draw: random.Random) -> Iterator[Trial]:
    """Files of examples and predictions in which one line is broken."""
    examples = cohort(folder / "images", 8)
    rows = [{**row, "prediction": row["reference"]} for row in read_lines(examples)]
    for number in range(10**9):
        bad = [dict(row) for row in rows]
        what = draw.choice(["value", "name", "bytes", "twice", "head", "tail"])
        row = draw.choice(bad)
        if what == "value":
            row[draw.choice(list(row))] = draw.choice(VALUES)
        elif what == "name":
            row[draw.choice(["", "question_id ", "metadata", "split", "view", "bleu1"])] = row.pop(
                draw.choice(list(row))
            )
        elif what == "twice":
            bad.append(dict(row))
        path = write_lines(folder / f"{number}.jsonl", bad)
        data = path.read_bytes()
        place = draw.randrange(len(data))
        if what == "bytes":
            data = data[:place] + draw.randbytes(draw.choice([1, 3, 200])) + data[place + 3 :]
        elif what == "head":
            data = draw.choice([b"\xef\xbb\xbf", b"\xff\xfe", b"\n\n", b"[", b"#", b"\0"]) + data
        elif what == "tail":
            data += draw.choice([b"{", b"\0", b"null\n", b"[" * 50_000, b'{"question_id": 1}\n'])
        path.write_bytes(data)
        out = folder / f"{number}.out"
        command = draw.choice(["score", "generate", "run", "score two", "run texts"])
        images = ("--image-root", folder / "images", "--output", out)
        arguments = {
            "score": ("score", "--predictions", path, "--metrics", "bleu", "--trials", 5),
            "score two": (
                *("score", "--predictions", path, "--references", examples),
                *("--metrics", "bleu", "--trials", 5),
            ),
            "generate": ("generate", "--model", "normal-template", "--examples", path, *images),
            "run": (*RUN[:3], *RUN[5:], "--data", f"jsonl:{path}", "--output", out),
            "run texts": ("run", "--predictions", path, *RUN[5:], "--output", out),
        }[command]
        yield Trial(f"{command}: {what} {row}", arguments)


NUMBERS = (
    "-1",
    "0",
    "nan",
    "inf",
    "-inf",
    "1e999",
    "99999999999999999999",
    "abc",
    "",
    "1.5",
    "-0.1",
)
NAMES = ("nope", "", ",", "a,,b", "\x1b[2J", "x" * 5000, "../..", "é", "-", "[/x]")


def options(folder: Path, draw: random.Random) -> Iterator[Trial]:
    """Every option of every command with a value that it may not have."""
    import typer

    from libra_bench.cli.program import app

    examples = cohort(folder / "images", 4)
    done = folder / "done.jsonl"
    images = ("--examples", examples, "--image-root", folder / "images")
    given = ("generate", "--model", "normal-template", *images, "--output", done)
    assert invoke(folder / "s", *given).code == 0
    run = folder / "run"
    assert invoke(folder / "s", *RUN, "--output", run).code == 0
    assert invoke(folder / "s", "baseline", "save", run, "--output", folder / "b.json").code == 0
    rows = [
        {
            "id": row["question_id"],
            "image": row["image"],
            "conversations": [
                {"from": "human", "value": "<image>\nWhat?"},
                {"from": "gpt", "value": row["reference"]},
            ],
        }
        for row in read_lines(examples)
    ]
    (folder / "train.json").write_text(json.dumps(rows))
    usual: dict[str, tuple[object, ...]] = {
        "run": (*RUN[:5], "--trials", 5, "--output", folder / "o"),
        "generate": ("generate", "--model", "libra-tiny", *images, "--output", folder / "o"),
        "predict": ("predict", "--image", folder / "images" / "0.png"),
        "score": ("score", "--predictions", done, "--metrics", "bleu", "--trials", 5),
        "compare": ("compare", run, run, "--trials", 5),
        "check": ("check", "--run", run, "--baseline", folder / "b.json"),
        "report": ("report", "--run", run),
        "ablate": ("ablate", "--limit", 2, "--trials", 5, "--output", folder / "o"),
        "train": (
            *(
                "train",
                "--stage",
                "align",
                "--model",
                "libra-tiny",
                "--data",
                folder / "train.json",
            ),
            *("--image-root", folder / "images", "--output", folder / "o", "--max_steps", 1),
            *("--use_cpu", "true", "--dataloader_num_workers", 0),
        ),
        "baseline save": ("baseline", "save", run, "--output", folder / "o"),
        "data synth": ("data", "synth", "--patients", 2, "--output", folder / "o"),
        "perf plan": ("perf", "plan"),
        "perf table": ("perf", "table"),
        "models": ("models",),
        "metrics": ("metrics",),
    }
    group: Any = typer.main.get_command(app)
    pairs = []
    for name in usual:
        command = group
        for word in name.split():
            command = command.commands[word]
        for one in command.params:
            if one.opts[0].startswith("--") and not getattr(one, "is_flag", False):
                pairs += [(name, one.opts[0], value) for value in NUMBERS + NAMES]
    for argument in (
        "learning_rate",
        "max_steps",
        "save_steps",
        "lora_r",
        "seed",
        "bf16",
        "save_total_limit",
    ):
        pairs += [("train", f"--{argument}", value) for value in NUMBERS]
    while True:
        name, option, value = draw.choice(pairs)
        out = folder / "o"
        shutil.rmtree(out, ignore_errors=True) if out.is_dir() else out.unlink(missing_ok=True)
        yield Trial(f"{name}: {option} {value[:40]!r}", (*usual[name], option, value))


KINDS = {"damaged": damaged, "lines": lines, "options": options}


def main() -> None:
    """Run the trials; exit code 1 where a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=100, help="trials of each kind")
    parser.add_argument("--kinds", default=",".join(KINDS))
    given = parser.parse_args()
    load()
    broken = 0
    with tempfile.TemporaryDirectory(prefix="libra-bench-attack-") as name:
        for kind in given.kinds.split(","):
            folder = Path(name) / kind
            folder.mkdir()
            draw = random.Random(f"{given.seed} {kind}")
            trials = KINDS[kind](folder, draw)
            os.chdir(folder)
            for number in range(given.count):
                trial = next(trials)
                told = invoke(folder / "s", *trial.arguments, stdin=trial.stdin)
                fault = judge(trial, told)
                broken += bool(fault)
                print(f"{number + 1:4} {told.code} {trial.name} {fault}", flush=True)
    print(f"{broken} promises broken (seed {given.seed})")
    raise SystemExit(bool(broken))


def judge(trial: Trial, told: Told) -> str:
    """What was broken; empty where nothing was."""
    if "Traceback" in told.err + told.out or told.code not in (0, 1, 2, 3, 4):
        return f"BROKEN {told.err[-3000:]}"
    if told.code and not told.err.strip():
        return "BROKEN no message"
    if told.code in (0, 3) and trial.answer is not None:
        try:
            found = trial.answer(told)
        except (OSError, ValueError, KeyError) as error:
            return f"BROKEN nothing to read: {error}"
        if found != trial.whole:
            return f"BROKEN other answer: {str(found)[:800]} INSTEAD OF {str(trial.whole)[:800]}"
    return ""


if __name__ == "__main__":
    main()
