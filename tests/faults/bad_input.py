"""Trials with broken lines in files of texts, and with options out of range."""

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bad_runs import RUN, Trial
from forked import invoke
from program import cohort, read_lines, write_lines

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
