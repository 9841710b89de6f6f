"""Kills at random moments: nothing is lost, nothing is there twice, everything goes on.

    python tests/faults/campaign.py --kills 100 --seed 1

Every command is first run without a kill; a killed one must end, after one resume or several,
with the same content. `tox -e faults` runs it.
"""

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from program import PROGRAM, call, cohort, environment, read_lines

SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
MORE_KILLS = 3
"""A command is killed again while it resumes, at most so many times in all."""


@dataclass(frozen=True)
class Victim:
    """A command that is killed.

    Attributes:
        arguments: of the command, but for its output and `--resume`.
        resumes: whether it has `--resume`; another start does the same where it has not.
        content: what an output holds, to be compared; ids must be there once.
    """

    name: str
    arguments: tuple[str, ...]
    output: str
    option: str
    resumes: bool
    content: Callable[[Path], object]


def answers(path: Path) -> list[tuple[str, str]]:
    rows = [(row["question_id"], row["text"]) for row in read_lines(path)]
    twice = [key for key, count in Counter(key for key, _ in rows).items() if count > 1]
    assert not twice, f"{path}: twice: {twice}"
    return rows


def run_folder(path: Path) -> object:
    manifest = json.loads((path / "manifest.json").read_text())
    assert manifest["status"] == "finished", manifest["status"]
    for page in ("report.html", "report.md", "scores.parquet"):
        assert (path / page).stat().st_size, page
    figures = json.loads((path / "summary.json").read_text())["metrics"]
    return answers(path / "predictions.jsonl"), figures


def ablation(path: Path) -> object:
    rows = json.loads((path / "ablation.json").read_text())["rows"]
    return {file.name: answers(file) for file in sorted(path.glob("*.jsonl"))}, rows


def tree(path: Path) -> object:
    files = (one for one in sorted(path.rglob("*")) if one.is_file())
    return {str(one.relative_to(path)): one.read_bytes() for one in files if one.name != ".lock"}


def prepared(path: Path) -> object:
    assert not (path / ".parts").exists()
    names = ("train.json", "validate.json", "validate.jsonl", "test.jsonl", "dropped.csv")
    return {name: (path / name).read_bytes() for name in names}


def scores(path: Path) -> object:
    import pandas as pd

    return pd.read_parquet(path).to_json()


def trained(path: Path) -> object:
    state = json.loads((path / "trainer_state.json").read_text())
    losses = [row["loss"] for row in state["log_history"] if "loss" in row]
    assert state["global_step"] == state["max_steps"] == len(losses), state["global_step"]
    return losses, (path / "mm_projector.bin").read_bytes()


def victims(folder: Path) -> list[Victim]:
    """Every command that writes much, on data below `folder`."""
    from libra_bench.data.corpora import synthetic

    root = synthetic.built_in()
    examples = cohort(folder / "images", 40)
    images = ("--examples", str(examples), "--image-root", str(folder / "images"))
    quick = ("--max-new-tokens", "6", "--batch-size", "1")
    done = folder / "done.jsonl"
    call("generate", "--model", "normal-template", *images, "--output", done)
    training = folder / "train.json"
    rows = read_lines(examples)
    training.write_text(
        json.dumps(
            [
                {
                    "id": row["question_id"],
                    "image": row["image"],
                    "conversations": [
                        {"from": "human", "value": f"<image>\n{row['text']}"},
                        {"from": "gpt", "value": row["reference"]},
                    ],
                }
                for row in rows[:16]
            ]
        )
    )
    few = ("--metrics", "bleu,rouge_l", "--trials", "50")
    table = ("--predictions", str(done), *few)
    learn = (
        *("--stage", "align", "--model", "libra-tiny", "--data", str(training)),
        *("--image-root", str(folder / "images"), "--max_steps", "6", "--save_steps", "2"),
        *("--per_device_train_batch_size", "2", "--use_cpu", "true", "--disable_tqdm", "true"),
        *("--dataloader_num_workers", "0"),
    )
    rooted = ("--root", str(root))
    return [
        Victim("run", ("run", "--limit", "12", *few, *quick), "run", "--output", True, run_folder),
        Victim(
            "generate",
            ("generate", "--model", "libra-tiny", *images, *quick),
            "p.jsonl",
            "--output",
            True,
            answers,
        ),
        Victim(
            "prepare",
            ("data", "prepare", "mimic-cxr", *rooted),
            "prepared",
            "--output",
            True,
            prepared,
        ),
        Victim(
            "ablate",
            ("ablate", "--limit", "16", "--trials", "50", "--num-beams", "1"),
            "ablation",
            "--output",
            True,
            ablation,
        ),
        Victim("score", ("score", *table), "scores.parquet", "--per-report", False, scores),
        Victim("synth", ("data", "synth", "--patients", "8"), "synth", "--output", False, tree),
        Victim("train", ("train", *learn), "trained", "--output", True, trained),
    ]


def kill(victim: Victim, output: Path, draw: random.Random, longest: float) -> list[str]:
    """Kill a command, resume it, kill that; at last let it end. What was done, step by step."""
    told = []
    command = [*PROGRAM, *victim.arguments, victim.option, str(output)]
    for again in range(MORE_KILLS + 1):
        resume = ["--resume"] if victim.resumes and again else []
        last = again == MORE_KILLS or (again and draw.random() < 0.5)
        with subprocess.Popen(
            [*command, *resume],
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as running:
            if not last:
                # Most work is done at the end of a start that loads libraries first.
                time.sleep(longest * draw.random() ** 0.5)
                number = draw.choice(SIGNALS)
                running.send_signal(number)
                told.append(f"{number.name}")
            _, said = running.communicate(timeout=280)
        if "Traceback" in said:
            raise AssertionError(f"{told}: {said}")
        if running.returncode == 0:
            return told
        if not victim.resumes and again and "is not empty" in said:
            return told  # It was killed behind its end; what lies there is compared.
        if last:
            raise AssertionError(f"{told}: cannot be gone on with: {said}")
    raise AssertionError("unreachable")


def left_behind(output: Path) -> list[str]:
    """Processes that still work on an output."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().split(b"\0")
        except OSError:
            continue
        if str(output).encode() in words:
            found.append(entry.parent.name)
    return found


def main() -> None:
    """Run the campaign; exit code 1 where a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="names with commas")
    given = parser.parse_args()
    draw, broken = random.Random(given.seed), 0
    with tempfile.TemporaryDirectory(prefix="libra-bench-faults-") as name:
        folder = Path(name)
        chosen = victims(folder)
        if given.only:
            chosen = [one for one in chosen if one.name in given.only.split(",")]
        whole: dict[str, object] = {}
        length: dict[str, float] = {}
        for one in chosen:
            place = folder / "whole" / one.output
            place.parent.mkdir(exist_ok=True)
            begun = time.monotonic()
            answer = call(*one.arguments, one.option, place)
            assert answer.returncode == 0, answer.stderr
            length[one.name] = time.monotonic() - begun
            whole[one.name] = one.content(place)
        for number in range(given.kills):
            one = chosen[number % len(chosen)]
            place = folder / f"kill-{number}" / one.output
            place.parent.mkdir()
            try:
                told = kill(one, place, draw, length[one.name])
                if one.content(place) != whole[one.name]:
                    raise AssertionError(f"{told}: other content")
                if working := left_behind(place):
                    raise AssertionError(f"{told}: processes are left behind: {working}")
                print(f"{number + 1:4} {one.name:9} {' '.join(told)}", flush=True)
                shutil.rmtree(place.parent)
            except (AssertionError, OSError, ValueError) as error:
                broken += 1
                print(f"{number + 1:4} {one.name:9} BROKEN {error}", flush=True)
    print(f"{given.kills} kills, {broken} promises broken (seed {given.seed})")
    raise SystemExit(bool(broken))


if __name__ == "__main__":
    main()
