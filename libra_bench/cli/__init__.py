"""The command line: one module a command. Heavy imports happen inside the commands."""

from libra_bench.cli.program import main

__all__ = ["main"]
