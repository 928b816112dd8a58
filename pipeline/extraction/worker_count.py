"""Chooses the number of decode workers and the memory that they may use."""

from __future__ import annotations

from pipeline.decode.media import MAX_PIXELS
from pipeline.extraction.cores import usable_cores
from storage.errors import InvalidInput

MAX_WORKERS = 16
"""A device, by default."""
PICTURE_BYTES_PER_PIXEL = 30
"""Of a decoder: up to 16 reference pictures in 4:2:0, and the picture at hand in RGB, twice."""
CPU_NICENESS = 10
BUFFERS_PER_WORKER = 2
"""Clips in memory for each worker: one being decoded, one waiting. One more is in the networks' hands."""


def default_workers(*, devices: int = 1) -> int:
    """Decode processes of each device: the cores that are ours to use, shared out evenly; at most 16.

    Args:
        devices: of this machine that a run uses at once.
    """
    return max(1, min(usable_cores() // devices, MAX_WORKERS))


def shards_at_once(workers: int | None, shard_size: int, devices: int) -> int:
    """Shards that each device's worker should have in hand: at least two, and more where shards are small.

    Args:
        workers: decode processes of all devices; ``None`` for the default.
        shard_size: clips a shard.
        devices: how many.
    """
    each = default_workers(devices=devices) if workers is None else max(1, workers // devices)
    return 2 + BUFFERS_PER_WORKER * each // shard_size


def niceness_beside(device: str) -> int:
    """By how much decode workers give way to the networks on a device, ``cpu`` or ``cuda:N``.

    On a CPU a network's threads wait for the slowest: a decoder on one of their cores would hold up all of them. On a
    GPU decoding is what is waited for.
    """
    return CPU_NICENESS if device == "cpu" else 0


def fit_workers(workers: int, clip_bytes: int, budget_bytes: int | None) -> tuple[int, int]:
    """How many workers and decoded clips fit in a budget. Every decoded clip of a run has the same size.

    Args:
        workers: wanted.
        clip_bytes: of one decoded clip.
        budget_bytes: for all of them; ``None`` for no limit.

    Returns:
        Workers, and clips in memory at once.

    Raises:
        InvalidInput: If not even two clips fit: one being decoded, one in the networks' hands.
    """
    buffers = workers * BUFFERS_PER_WORKER + 1
    if budget_bytes is None:
        return workers, buffers
    fitting = budget_bytes // clip_bytes
    if fitting < 2:
        raise InvalidInput(
            f"--memory leaves {max(budget_bytes, 0) / 1e6:.0f} MB for decoded clips; two of {clip_bytes / 1e6:.0f} MB "
            "are needed. Give more, a smaller --shard-size, or fewer backbones at once"
        )
    return min(workers, fitting - 1), min(buffers, fitting)


def fit_pixels(workers: int, budget_bytes: int | None) -> int:
    """The largest picture to decode, in pixels, when each worker may hold its references and its RGB.

    Args:
        workers: decode processes.
        budget_bytes: of the run; ``None`` for no limit.
    """
    if budget_bytes is None:
        return MAX_PIXELS
    return min(MAX_PIXELS, budget_bytes // (workers * PICTURE_BYTES_PER_PIXEL))
