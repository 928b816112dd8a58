"""Tasks, losses, schedules, checkpoints and the training loop."""
