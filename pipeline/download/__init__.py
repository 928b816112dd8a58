"""Fetching the clips of a table."""
