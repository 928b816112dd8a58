"""Imports OpenVINO without its telemetry."""

from __future__ import annotations

import sys
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
