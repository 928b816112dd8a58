"""Synthetic clips and features in the shape of LLP and AVE."""
