"""Texts that others made: predictions and references in whatever file they stand."""

from libra_bench.data.texts.pairs import Answers, read_answers, read_pairs

__all__ = ["Answers", "read_answers", "read_pairs"]
