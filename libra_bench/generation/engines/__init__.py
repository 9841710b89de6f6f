"""Engines: ways to turn prompts with images into token ids. Same ids, different speed."""
