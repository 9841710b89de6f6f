"""Resampling and tests on sums of statistics. Arrays in, arrays out: no metric is known here."""
