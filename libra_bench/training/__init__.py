"""Training: stages, data, the trainer, checkpoints in the published layouts."""
