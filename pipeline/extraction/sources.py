"""Sources of decoded clips: worker processes, or this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

from extractors.views import AudioView, FrameView
from pipeline.decode.clip_buffer import DecodedClip, Decoder, DecodeRequest, DecodeShape, UnitsView
from pipeline.decode.frames import CanvasView
from pipeline.decode.media import MAX_PIXELS
from pipeline.extraction.decode_pools import DecodePools
from pipeline.extraction.open_shards import OPEN_SHARDS
from pipeline.extraction.options import ExtractOptions
from pipeline.extraction.worker_count import default_workers, fit_pixels, fit_workers
from storage.clips import Clip
from storage.schema import Sampling


def request_of(
    clip: Clip,
    *,
    clip_seconds: int,
    sampling: Sampling = "uniform",
    frame_views: Sequence[FrameView] = (),
    audio_views: Sequence[AudioView] = (),
    keep: Sequence[CanvasView] = (),
    decoder: Decoder = "pyav",
    max_pixels: int = MAX_PIXELS,
    units: Sequence[UnitsView] = (),
) -> DecodeRequest:
    """What the decoder is asked for one clip."""
    return DecodeRequest(
        clip.id,
        clip.path,
        clip.start_seconds,
        clip.end_seconds,
        clip_seconds,
        sampling,
        tuple(frame_views),
        tuple(audio_views),
        tuple(keep),
        decoder,
        max_pixels,
        tuple(units),
    )


def media_requests(
    clips: Sequence[Clip],
    options: ExtractOptions,
    *,
    frame_views: Sequence[FrameView],
    audio_views: Sequence[AudioView],
    keep: Sequence[CanvasView],
    units: Sequence[UnitsView],
) -> Callable[[int], DecodeRequest]:
    """Requests for clips of media files, by row of the table; see :class:`~pipeline.decode.clip_buffer.DecodeRequest`.

    A budget of memory bounds the size of pictures too.
    """
    make = partial(
        request_of,
        clip_seconds=options.clip_seconds,
        sampling=options.sampling,
        frame_views=frame_views,
        audio_views=audio_views,
        keep=keep,
        units=units,
        decoder=options.decoder,
        max_pixels=fit_pixels(options.workers or default_workers(), options.memory_bytes),
    )
    return lambda row: make(clips[row])


class PoolSource:
    """Gives clips that worker processes make. A context manager.

    Args:
        request_of_row: the request for a clip, by row; all of one shape.
        workers: processes; ``None`` for :func:`default_workers`.
        deadline_seconds: for one clip.
        row_bytes: of one clip's features, which are in memory until its shard is written.
        shard_size: clips a shard.
        budget_bytes: for decoded clips and open shards together; ``None`` for what keeps the workers busy.
        error_log: file for internal errors, with their tracebacks.
        niceness: by how much decode workers give way to this process.
        pools: keeps the decode workers for the next source; ``None`` to stop them with this one.

    Raises:
        InvalidInput: If the budget does not hold two clips.
    """

    def __init__(
        self,
        request_of_row: Callable[[int], DecodeRequest],
        *,
        shape: DecodeShape,
        workers: int | None,
        deadline_seconds: float,
        row_bytes: int = 0,
        shard_size: int = 1,
        budget_bytes: int | None = None,
        error_log: Path | None = None,
        niceness: int = 0,
        pools: DecodePools | None = None,
    ) -> None:
        self._request_of_row = request_of_row
        left = None if budget_bytes is None else budget_bytes - OPEN_SHARDS * shard_size * row_bytes
        count, buffers = fit_workers(workers or default_workers(), shape.nbytes + row_bytes, left)
        self._pools, self._stops_workers = pools or DecodePools(), pools is None
        self._pool = self._pools.pool(
            shape,
            workers=count,
            deadline_seconds=deadline_seconds,
            buffers=buffers,
            error_log=error_log,
            niceness=niceness,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        if self._stops_workers:
            self._pools.close()

    @property
    def lookahead(self) -> int:
        """Clips in memory at once."""
        return self._pool.buffers

    def decode(self, rows: Iterable[int | None]) -> Iterator[tuple[int, DecodedClip]]:
        """Give the clips of these rows, each with its row, as they are made; ``None`` for no row yet."""
        row_of: dict[str, int] = {}

        def requests() -> Iterator[DecodeRequest | None]:
            for row in rows:
                if row is None:
                    yield None
                    continue
                request = self._request_of_row(row)
                row_of[request.clip_id] = row
                yield request

        for decoded in self._pool.decode(requests()):
            yield row_of.pop(decoded.request.clip_id), decoded


class LocalSource:
    """Gives clips that this process makes, one after the other.

    Args:
        make: a clip, by row.
    """

    lookahead = 1

    def __init__(self, make: Callable[[int], DecodedClip]) -> None:
        self._make = make

    def decode(self, rows: Iterable[int | None]) -> Iterator[tuple[int, DecodedClip]]:
        """Give the clips of these rows, each with its row, in this order."""
        for row in rows:
            if row is not None:
                yield row, self._make(row)
