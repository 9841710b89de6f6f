"""Engines: ways to turn prompts with images into token ids. Same ids, different speed."""

ENGINES = ("fast", "reference")
"""Module names here; each has `generate(model, studies, decoding, …)`."""
