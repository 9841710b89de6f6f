"""Texts that others made: predictions and references in whatever file they stand."""

from libra_bench.data.texts.pairs import Answers, cohort_of, read_answers, read_pairs

__all__ = ["Answers", "cohort_of", "read_answers", "read_pairs"]
