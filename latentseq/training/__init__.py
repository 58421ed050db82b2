"""Training: windows, the loop, checkpoints, progress."""
