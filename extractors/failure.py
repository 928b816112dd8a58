"""Why a backbone gave nothing for a clip."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Failure:
    """Why a backbone gave no units or no features for a clip. Plain data, so that it can travel.

    Attributes:
        reason: in words.
        out_of_memory: whether memory ran out, rather than the backbone's code failing.
    """

    reason: str
    out_of_memory: bool = False
