"""Training: batches, the training loop, checkpoints, signals and progress."""
