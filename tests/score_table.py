"""Prints the score table of the predictions that are named, or of a run of the demo.

python tests/score_table.py [PREDICTIONS.jsonl [options of `libra-bench score`]]
"""

import sys
import tempfile

from libra_bench.cli import main

if __name__ == "__main__":
    if sys.argv[1:]:
        sys.exit(main(["score", "--predictions", *sys.argv[1:]]))
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(main(["run", "--output", f"{folder}/demo"]))
