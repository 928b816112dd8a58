"""Decoders: encoded segments in, predictions out."""
