"""Clips made from a store's kept frames and waveforms: in a decode worker, or in the process that asks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from extractors.views import AudioView, FrameView
from pipeline.decode.clip_buffer import (
    BufferLayout,
    DecodedClip,
    DecodeReport,
    DecodeRequest,
    buffer_layout,
    open_buffer,
)
from storage.errors import StoreError
from storage.schema import Status

if TYPE_CHECKING:
    from storage.store import FeatureStore


@dataclass(frozen=True)
class KeptRequest(DecodeRequest):
    """One clip to make from what a store has kept. Plain data, as its base.

    Attributes:
        store_url: of the store.
        opened: tells this opening of the store from others, since a process keeps stores open.
        row: of the clip.
        known: what the decoder said when the clip was kept.
        stored: whether anything of it was kept.
    """

    store_url: str = ""
    opened: str = ""
    row: int = 0
    known: DecodeReport = field(default_factory=lambda: DecodeReport(Status.PENDING))
    stored: bool = False


def read_kept(request: KeptRequest, buffer: Any, *, store: FeatureStore | None = None) -> DecodeReport:
    """Make one clip, as :func:`pipeline.decode.clip.decode_clip` does from its file.

    Args:
        request: the clip and what is wanted of it.
        buffer: writable, of at least ``request.shape.nbytes`` bytes.
        store: open already; ``None`` to open the one that the request names, once a process.

    Returns:
        What the decoder said of the clip; ``decode_error`` where the store is damaged.
    """
    if not request.stored:
        return replace(request.known, has_video=False, has_audio=False)
    layout = buffer_layout(request.shape)
    try:
        store = store or _opened(request.store_url, request.opened)
        video = _read_frames(store, request, layout, buffer)
        heard = [_read_sound(store, request, view, layout, buffer) for view in request.audio_views]
    except StoreError as problem:
        return replace(request.known, status=Status.DECODE_ERROR, reason=str(problem))
    return replace(request.known, has_video=video, has_audio=any(heard))


def make_kept_here(request: KeptRequest, store: FeatureStore) -> DecodedClip:
    """Make one clip in this process, into memory of its own."""
    buffer = bytearray(request.shape.nbytes)
    return open_buffer(request, buffer, read_kept(request, buffer, store=store))


@lru_cache(maxsize=4)
def _opened(url: str, opened: str) -> FeatureStore:
    from storage.store import FeatureStore  # imports zarr, which workers that decode media do not need

    return FeatureStore.open(url)


def _row(store: FeatureStore, name: str, row: int, companion: str = "") -> NDArray[Any]:
    return cast("NDArray[Any]", store.kept(name, range(row, row + 1), companion)[0])


def _read_frames(store: FeatureStore, request: KeptRequest, layout: BufferLayout, buffer: Any) -> bool:
    """Resize the kept frames to every view. Returns whether there are any."""
    if not request.frame_views:
        return False
    valid = _row(store, "frames", request.row, "valid")
    if not valid.any():
        return False
    sizes = _row(store, "frames", request.row, "size")
    canvases = _row(store, "frames", request.row)
    rate = int(store.decoded_spec("frames").facts["frames_per_second"])
    for view in request.frame_views:
        step = rate // view.frames_per_second
        pixels = layout.array(buffer, view, "pixels")
        _resize(view, canvases[::step], sizes[::step], pixels)
        layout.array(buffer, view, "valid")[:] = valid[::step]
    return True


def _resize(view: FrameView, canvases: NDArray[np.uint8], sizes: NDArray[Any], pixels: NDArray[np.uint8]) -> None:
    for at, (height, width) in enumerate(sizes.tolist()):
        pixels[at] = view.apply(np.ascontiguousarray(canvases[at, :height, :width]))


def _read_sound(store: FeatureStore, request: KeptRequest, view: AudioView, layout: BufferLayout, buffer: Any) -> bool:
    """Copy the kept samples of one rate. Returns whether there are any."""
    name = f"waveform_{view.sample_rate_hz}"
    count = int(_row(store, name, request.row, "samples"))
    layout.array(buffer, view, "samples")[:] = _row(store, name, request.row) if count else 0
    layout.array(buffer, view, "valid_samples")[0] = count
    return count > 0
