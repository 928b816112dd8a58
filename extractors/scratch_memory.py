"""Memory for what compiled loops leave for one another: kept, and so still in the caches when it is used again."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

_of_thread = threading.local()


def scratch_memory(use: str, nbytes: int) -> Tensor:
    """This Python thread's own memory for some use, with whatever was left in it.

    Args:
        use: a name; memory for another use is apart from it.
        nbytes: at least so much.

    Returns:
        uint8.
    """
    held: dict[str, Tensor] = _of_thread.__dict__
    if use not in held or len(held[use]) < nbytes:
        held[use] = torch.empty(nbytes, dtype=torch.uint8, device="cpu")
    return held[use]
