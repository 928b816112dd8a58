"""Parses any video: from a file and a model to events with their times, in files that other tools read."""
