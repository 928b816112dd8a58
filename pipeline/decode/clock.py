"""One clock for the streams of a file whose timestamps jump.

MPEG transport and program streams may be joined, or recorded while the sender's clock was set: their timestamps jump,
though the pictures and the sound go on. As ffmpeg does, a jump is taken out of everything that follows it, in all
streams by the same amount, so that picture and sound stay together.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from pipeline.decode.media import rescale

MICROSECOND = Fraction(1, 1_000_000)
_FORWARD = 10_000_000
"""A step of more microseconds than this is a jump; a shorter one is missing data."""
_BACKWARD = 100_000
_TS_DISCONT = 0x0200
"""libavformat's AVFMT_TS_DISCONT: formats whose timestamps may jump."""


@dataclass
class _Stream:
    """The last packet of a stream on the corrected clock, in microseconds; ``None`` before the first."""

    dts: int | None = None
    next_dts: int | None = None


class Clock:
    """Tells by how much each packet's timestamps are to be moved. Packets must be given in file order.

    Args:
        jumps: whether the format's timestamps may jump; if not, nothing is ever moved.
    """

    def __init__(self, *, jumps: bool) -> None:
        self._jumps = jumps
        self._offset = 0
        self._last: int | None = None
        self._streams: dict[int, _Stream] = {}

    def shift(self, stream: int, dts: int | None, duration: int, time_base: Fraction) -> int:
        """Take note of a packet.

        Args:
            stream: its index.
            dts: its decoding time in ticks, as stored.
            duration: in ticks, 0 where unknown.
            time_base: seconds a tick.

        Returns:
            Ticks to add to the packet's times.
        """
        if not self._jumps:
            return 0
        if dts is not None:
            self._follow(self._streams.setdefault(stream, _Stream()), rescale(dts, time_base, MICROSECOND))
            known = self._streams[stream]
            known.dts = self._last
            known.next_dts = (self._last or 0) + rescale(duration, time_base, MICROSECOND)
        return rescale(self._offset, MICROSECOND, time_base)

    def _follow(self, known: _Stream, stored: int) -> None:
        """Move the clock if this packet does not follow what came before it."""
        at = stored + self._offset
        if known.next_dts is not None:
            step = at - known.next_dts
            moved = abs(step) > _FORWARD or at + _BACKWARD < (known.dts or 0)
        else:
            step = 0 if self._last is None else at - self._last
            moved = abs(step) > _FORWARD
        if moved:
            self._offset -= step
            at -= step
        self._last = at


def may_jump(format_flags: int) -> bool:
    """Whether a container format's timestamps may jump, by libavformat's flags."""
    return bool(format_flags & _TS_DISCONT)
