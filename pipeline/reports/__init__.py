"""Scores, comparisons, tables and pictures."""
