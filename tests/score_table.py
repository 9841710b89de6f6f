"""Prints the score table of the predictions that are named, or of a run of the demo.

python tests/score_table.py [PREDICTIONS.jsonl [options of `libra-bench score`]]
"""

import sys
import tempfile

from libra_bench.cli import main

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        if sys.argv[1:]:
            sys.argv[1:] = ["score", "--predictions", *sys.argv[1:]]
        else:
            sys.argv[1:] = ["run", "--output", f"{folder}/demo"]
        main()
