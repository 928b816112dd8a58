"""Returns freed memory to the system."""

from __future__ import annotations

import ctypes
import gc


def give_back_freed_memory() -> bool:
    """Give the system the memory that is free now: after loading a network, as much as its weights take.

    Returns:
        Whether there was any; false where the C library is another one.
    """
    gc.collect()
    try:
        return bool(ctypes.CDLL("libc.so.6").malloc_trim(0))
    except (OSError, AttributeError):
        return False
