"""Datasets: descriptions, annotations, and a store's rows as batches."""
