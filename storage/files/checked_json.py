"""Small JSON files with a checksum of their own content."""

from __future__ import annotations

import json
from typing import Any

from storage.errors import StoreError
from storage.files.root import crc32_of


def pack(body: dict[str, Any]) -> bytes:
    """Plain data as JSON with a checksum."""
    text = json.dumps(body, sort_keys=True, ensure_ascii=False)
    return json.dumps({"crc32": crc32_of(text.encode()), "record": text}, ensure_ascii=False).encode() + b"\n"


def unpack(data: bytes, *, where: str) -> dict[str, Any]:
    """Inverse of :func:`pack`.

    Raises:
        StoreError: If a byte was changed.
    """
    try:
        envelope = json.loads(data)
        text = envelope["record"]
        if crc32_of(text.encode()) != envelope["crc32"]:
            raise StoreError(f"{where}: the record's checksum is wrong. Run: avvp verify")
        body: dict[str, Any] = json.loads(text)
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise StoreError(f"{where}: not a ledger record ({problem}). Run: avvp verify") from problem
    if pack(body) != data:
        raise StoreError(f"{where}: was changed after it was written. Run: avvp verify")
    return body
