"""What the trainer reads: annotations and batches."""
