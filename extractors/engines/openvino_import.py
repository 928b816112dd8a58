"""Imports OpenVINO without its telemetry, and keeps its hands off the process's log."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from storage.errors import InvalidInput

REMEDY = 'pip install "avvp-pipeline[cpu]", or use --engine torch'


def import_openvino() -> Any:
    """Import OpenVINO without its telemetry, which would report the import itself to Google Analytics.

    Where ``openvino_telemetry`` cannot be imported, OpenVINO falls back to functions that do nothing.

    Raises:
        InvalidInput: If it is not installed or broken.
    """
    if "openvino" not in sys.modules:
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import openvino
    except ImportError as problem:
        raise InvalidInput(f"engine 'openvino' cannot be imported: {problem}. {REMEDY}") from None
    return openvino


@contextmanager
def root_logger_as_it_was() -> Iterator[None]:
    """Put the root logger's level and filters back at the end of the block.

    A failed ``openvino.convert_model`` leaves the root logger at ERROR with a filter of its own: warnings of the whole
    process would be lost from then on.
    """
    root = logging.getLogger()
    level, filters = root.level, list(root.filters)
    try:
        yield
    finally:
        root.setLevel(level)
        root.filters[:] = filters
