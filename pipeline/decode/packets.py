"""Facts about one stream from a scan of the file's packets, before anything is decoded."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

NO_TIME = int(np.iinfo(np.int64).min)
"""Stands for an absent timestamp."""


@dataclass(frozen=True)
class PacketTable:
    """Packets of one stream in file order, on the corrected clock.

    Attributes:
        pts: ``[packets]`` int64 ticks, :data:`NO_TIME` where absent.
        dts: ``[packets]`` int64 ticks, :data:`NO_TIME` where absent.
        durations: ``[packets]`` int64 ticks, 0 where unknown.
        positions: ``[packets]`` int64 byte offsets in the file, -1 where unknown.
        sizes: ``[packets]`` int64 bytes.
        keys: ``[packets]`` bool, decoding may begin here.
        hidden: ``[packets]`` bool, decoded but not shown (edit lists).
    """

    pts: NDArray[np.int64]
    dts: NDArray[np.int64]
    durations: NDArray[np.int64]
    positions: NDArray[np.int64]
    sizes: NDArray[np.int64]
    keys: NDArray[np.bool_]
    hidden: NDArray[np.bool_]

    def find(self, packet: Any) -> int | None:
        """Index of a packet that was read again, or ``None`` if the scan did not see such a one."""
        same = (self.sizes == packet.size) & (self.positions == (-1 if packet.pos is None else packet.pos))
        same &= (self.pts == _or_none(packet.pts)) & (self.dts == _or_none(packet.dts))
        found = np.flatnonzero(same)
        return int(found[0]) if len(found) else None

    @property
    def has_leading_pictures(self) -> bool:
        """Whether a packet that follows a key packet is shown before it: it may need pictures from before the key."""
        newest_key = np.maximum.accumulate(np.where(self.keys, np.arange(len(self.pts)), -1))
        after = newest_key >= 0
        return bool((self.pts[after] < self.pts[newest_key[after]]).any())


@dataclass
class PacketList:
    """Collects the packets of one stream."""

    time_base: Fraction
    rows: list[tuple[int, int, int, int, int, bool, bool]] = field(default_factory=list)

    def add(self, packet: Any, shift: int) -> None:
        """Take a packet, ``shift`` ticks later than it says."""
        pts = NO_TIME if packet.pts is None else packet.pts + shift
        dts = NO_TIME if packet.dts is None else packet.dts + shift
        position = -1 if packet.pos is None else packet.pos
        self.rows.append((pts, dts, packet.duration or 0, position, packet.size, packet.is_keyframe, packet.is_discard))

    def table(self) -> PacketTable:
        """What was collected."""
        columns = list(zip(*self.rows, strict=True)) or [()] * 7
        pts, dts, durations, positions, sizes = (np.array(column, dtype=np.int64) for column in columns[:5])
        keys, hidden = (np.array(column, dtype=bool) for column in columns[5:])
        return PacketTable(pts, dts, durations, positions, sizes, keys, hidden)


def _or_none(time: int | None) -> int:
    return NO_TIME if time is None else time
