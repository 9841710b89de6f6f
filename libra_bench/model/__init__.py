"""Libra: vision tower, temporal alignment connector, language model; and how to load them."""
