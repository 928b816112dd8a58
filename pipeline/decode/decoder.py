"""Which library reads the pictures of a file."""

from __future__ import annotations

from typing import Literal

Decoder = Literal["auto", "pyav", "decord"]
