"""Encoders: two streams of features in, two streams of encoded segments out."""
