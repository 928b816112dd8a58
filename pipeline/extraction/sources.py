"""A source of decoded clips: media files, through the decode workers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from extractors.views import AudioView, FrameView
from pipeline.decode.clip_buffer import DecodedClip, Decoder, DecodeRequest
from pipeline.decode.frames import CanvasView
from pipeline.decode.media import MAX_PIXELS
from pipeline.extraction.decode_pools import DecodePools
from pipeline.extraction.open_shards import OPEN_SHARDS
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
    )


class MediaSource:
    """Gives clips from media files, decoded by worker processes. A context manager.

    Args:
        clips: the table in row order.
        clip_seconds: length of every clip.
        sampling: ``uniform`` or ``published``.
        frame_views: what the visual backbones want.
        audio_views: what the audio backbones want.
        keep: pictures for the store; may be empty.
        workers: decode processes; ``None`` for :func:`default_workers`.
        deadline_seconds: for one clip.
        row_bytes: of one clip's features, which are in memory until its shard is written.
        shard_size: clips a shard.
        budget_bytes: for decoded clips and open shards together; ``None`` for what keeps the workers busy. Bounds the
            size of pictures too.
        decoder: of pictures, see :class:`~pipeline.decode.clip_buffer.DecodeRequest`.
        error_log: file for internal errors, with their tracebacks.
        niceness: by how much decode workers give way to this process.
        pools: keeps the decode workers for the next source; ``None`` to stop them with this one.

    Raises:
        InvalidInput: If the budget does not hold two clips.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        *,
        clip_seconds: int,
        sampling: Sampling,
        frame_views: Sequence[FrameView],
        audio_views: Sequence[AudioView],
        keep: Sequence[CanvasView],
        workers: int | None,
        deadline_seconds: float,
        row_bytes: int = 0,
        shard_size: int = 1,
        budget_bytes: int | None = None,
        decoder: Decoder = "pyav",
        error_log: Path | None = None,
        niceness: int = 0,
        pools: DecodePools | None = None,
    ) -> None:
        self._clips = clips
        self._request = partial(
            request_of,
            clip_seconds=clip_seconds,
            sampling=sampling,
            frame_views=frame_views,
            audio_views=audio_views,
            keep=keep,
            decoder=decoder,
            max_pixels=fit_pixels(workers or default_workers(), budget_bytes),
        )
        shape = self._request(clips[0]).shape
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

    def __enter__(self) -> MediaSource:
        return self

    def __exit__(self, *error: Any) -> None:
        if self._stops_workers:
            self._pools.close()

    @property
    def lookahead(self) -> int:
        """Clips in memory at once."""
        return self._pool.buffers

    def decode(self, rows: Iterable[int | None]) -> Iterator[tuple[int, DecodedClip]]:
        """Give the clips of these rows, each with its row, as they are decoded; ``None`` for no row yet."""
        row_of: dict[str, int] = {}

        def requests() -> Iterator[DecodeRequest | None]:
            for row in rows:
                if row is not None:
                    row_of[self._clips[row].id] = row
                yield None if row is None else self._request(self._clips[row])

        for decoded in self._pool.decode(requests()):
            yield row_of.pop(decoded.request.clip_id), decoded
