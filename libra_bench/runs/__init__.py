"""The run folder: what a run was, what it answered, how it scored."""
