"""What the trainer reads: dataset descriptions, annotations, and the store's rows as batches."""
