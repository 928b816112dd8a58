"""Names of devices to train on. Imports no torch: a mistyped one is refused at once."""

from __future__ import annotations

from storage.errors import InvalidInput

DEVICES = "auto, cpu, cuda, cuda:N or mps"


def check_device_name(device: str) -> None:
    """Raises InvalidInput if a text names no device."""
    if device in ("auto", "cpu", "mps"):
        return
    kind, separator, index = device.partition(":")
    if kind != "cuda" or bool(separator) != (index.isascii() and index.isdecimal()):
        raise InvalidInput(f"--device {device}: expected {DEVICES}")
