"""Sentences of clinical text, as medspaCy finds them."""
