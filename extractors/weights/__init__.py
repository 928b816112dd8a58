"""Weights: found, downloaded, checked and loaded."""
