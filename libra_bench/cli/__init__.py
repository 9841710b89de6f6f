"""The command line: one module a command. Heavy imports happen inside the commands."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Entry point of `libra-bench` and `python -m libra_bench`."""
    try:
        from libra_bench.cli.program import main as program
    except KeyboardInterrupt:
        # Ctrl-C before there are any commands, and anything that could tell of it nicely.
        sys.exit(130)
    program()
