"""Scores of audio-visual video parsing: numpy only."""
