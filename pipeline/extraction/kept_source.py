"""A source of decoded clips: kept frames and waveforms of a store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from extractors.base import Extractor, Frames, Waveform
from extractors.views import AudioView, FrameView
from pipeline.decode.clip_buffer import DecodedClip, DecodeReport
from pipeline.extraction.sources import request_of
from storage.ledger import Row
from storage.schema import Sampling
from storage.store import FeatureStore


def can_read_kept(store: FeatureStore, extractor: Extractor, sampling: Sampling) -> bool:
    """Whether a backbone's input can be made from what the store has kept of every clip.

    Frames can when they were sampled the same way and the backbone wants every ``n``-th of them; in
    ``published`` sampling only the very same rate will do, since other rates pick other source frames.
    """
    view = extractor.view
    name = "frames" if isinstance(view, FrameView) else f"waveform_{view.sample_rate_hz}"
    if name not in store.decoded:
        return False
    spec = store.decoded_spec(name)
    if spec.facts["sampling"] != sampling or not store.committed(spec.ledger_name).all():
        return False
    if isinstance(view, AudioView):
        return True
    rate = int(spec.facts["frames_per_second"])
    reachable = rate == view.frames_per_second or (sampling == "uniform" and rate % view.frames_per_second == 0)
    return reachable and view.least_side <= int(spec.facts["short_side"])


class KeptSource:
    """Gives clips from a store's kept frames and waveforms; no media file is opened.

    Args:
        store: with the arrays that :func:`can_read_kept` asked for.
        frame_views: views to make from kept frames.
        audio_views: rates that were kept.
    """

    def __init__(
        self, store: FeatureStore, *, frame_views: Sequence[FrameView], audio_views: Sequence[AudioView]
    ) -> None:
        self._store = store
        self._frame_views = frame_views
        self._audio_views = audio_views
        names = [f"waveform_{view.sample_rate_hz}" for view in audio_views] + (["frames"] if frame_views else [])
        self._ledgers = [store.ledger(store.decoded_spec(name).ledger_name) for name in names]
        self._records: dict[int, list[Sequence[Row]]] = {}

    lookahead = 1

    def decode(self, rows: Iterable[int | None]) -> Iterator[tuple[int, DecodedClip]]:
        """Give the clips of these rows, each with its row, in this order."""
        for row in rows:
            if row is None:
                continue
            entries = self._entries(row)
            worst = next((entry for entry in entries if not entry.code.has_features), entries[0])
            stored = any(entry.stored for entry in entries)
            request = request_of(
                self._store.clips[row],
                clip_seconds=self._store.info.clip_seconds,
                frame_views=self._frame_views,
                audio_views=self._audio_views,
            )
            frames, waveforms = (self._frames(row), self._waveforms(row)) if stored else ({}, {})
            yield row, DecodedClip(request, _report_of(worst, stored=stored), frames, waveforms)

    def _entries(self, row: int) -> list[Row]:
        shard, at = divmod(row, self._store.info.shard_size)
        if shard not in self._records:
            states = [ledger.states()[shard] for ledger in self._ledgers]
            self._records = {
                shard: [
                    ledger.read(shard, state.commit).rows for ledger, state in zip(self._ledgers, states, strict=True)
                ]
            }
        return [rows[at] for rows in self._records[shard]]

    def _row(self, path: str, row: int) -> NDArray[Any]:
        return cast("NDArray[Any]", self._store.direct(path).rows(row, row + 1)[0])

    def _frames(self, row: int) -> dict[FrameView, Frames]:
        if not self._frame_views:
            return {}
        valid = self._row("decoded/frames_valid", row)
        if not valid.any():
            return {}
        sizes = self._row("decoded/frames_size", row)
        canvases = self._row("decoded/frames", row)
        rate = int(self._store.decoded_spec("frames").facts["frames_per_second"])
        made = {}
        for view in self._frame_views:
            step = rate // view.frames_per_second
            images = [
                view.apply(np.ascontiguousarray(canvas[:height, :width]))
                for canvas, (height, width) in zip(canvases[::step], sizes[::step].tolist(), strict=True)
            ]
            made[view] = Frames(np.stack(images), valid[::step], view.frames_per_second)
        return made

    def _waveforms(self, row: int) -> dict[AudioView, Waveform]:
        made = {}
        for view in self._audio_views:
            name = f"decoded/waveform_{view.sample_rate_hz}"
            count = int(self._row(f"{name}_samples", row))
            if count:
                samples = self._row(name, row)
                made[view] = Waveform(samples, view.sample_rate_hz, count)
        return made


def _report_of(entry: Row, *, stored: bool) -> DecodeReport:
    """What the decoder said when the intermediates were kept."""
    return DecodeReport(
        status=entry.code,
        reason=entry.reason,
        has_video=stored,
        has_audio=stored,
        decoder=entry.decoder,
        fingerprint=entry.clip_fingerprint,
        size_bytes=entry.size_bytes,
        mtime_ns=entry.mtime_ns,
    )
