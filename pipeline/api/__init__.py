"""The pipeline as functions: what the command line does, from Python.

Errors are those of the command line, each one line: :class:`storage.errors.AvvpError`, among them
:class:`storage.extras.MissingExtra` where a package is not installed. Progress goes to standard error.
"""

from __future__ import annotations

from pipeline.api.features import extract, features_of, open_store
from pipeline.api.parsers import TrainResult, evaluate, train
from pipeline.api.videos import parse

__all__ = ["TrainResult", "evaluate", "extract", "features_of", "open_store", "parse", "train"]
