"""Bad input by the hundred: no traceback, and no other answer with exit code 0.

    python tests/faults/attack.py --seed 1 [--kinds damaged,lines,options] [--count 100]

Damaged: each file of a run folder is damaged, then the commands that read it run. Lines: files of
examples and predictions with broken lines. Options: every option of every command, out of range.
"""

import argparse
import os
import random
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from bad_input import lines, options
from bad_runs import Trial, damaged
from forked import Told, invoke, load

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
