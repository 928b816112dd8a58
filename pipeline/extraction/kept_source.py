"""A source of decoded clips: kept frames and waveforms of a store."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from extractors.base import Extractor
from extractors.views import AudioView, FrameView
from pipeline.decode.clip_buffer import DecodeReport, UnitsView
from pipeline.extraction.kept_clips import KeptRequest
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


class KeptRequests:
    """Requests for the clips of a store, by row; no media file is opened for them.

    Args:
        store: with the arrays that :func:`can_read_kept` asked for.
        frame_views: views to make from kept frames.
        audio_views: rates that were kept.
        units: of the audio backbones, where the decode workers make them.
    """

    def __init__(
        self,
        store: FeatureStore,
        *,
        frame_views: Sequence[FrameView],
        audio_views: Sequence[AudioView],
        units: Sequence[UnitsView] = (),
    ) -> None:
        self._store = store
        self._frame_views = tuple(frame_views)
        self._audio_views = tuple(audio_views)
        self._units = tuple(units)
        names = [f"waveform_{view.sample_rate_hz}" for view in audio_views] + (["frames"] if frame_views else [])
        self._ledgers = [store.ledger(store.decoded_spec(name).ledger_name) for name in names]
        self._records: dict[int, list[Sequence[Row]]] = {}
        self._opened = uuid.uuid4().hex

    def __call__(self, row: int) -> KeptRequest:
        """The request for one row."""
        clip, entries = self._store.clips[row], self._entries(row)
        worst = next((entry for entry in entries if not entry.code.has_features), entries[0])
        return KeptRequest(
            clip.id,
            clip.path,
            clip_seconds=self._store.info.clip_seconds,
            frame_views=self._frame_views,
            audio_views=self._audio_views,
            units=self._units,
            store_url=self._store.url,
            opened=self._opened,
            row=row,
            known=_report_of(worst),
            stored=any(entry.stored for entry in entries),
        )

    def _entries(self, row: int) -> list[Row]:
        shard, at = divmod(row, self._store.info.shard_size)
        if shard not in self._records:
            found = [ledger.newest_of(shard) for ledger in self._ledgers]
            self._records = {shard: [record.rows for record in found if record is not None]}
        return [rows[at] for rows in self._records[shard]]


def _report_of(entry: Row) -> DecodeReport:
    """What the decoder said when the intermediates were kept."""
    return DecodeReport(
        status=entry.code,
        reason=entry.reason,
        decoder=entry.decoder,
        fingerprint=entry.clip_fingerprint,
        size_bytes=entry.size_bytes,
        mtime_ns=entry.mtime_ns,
    )
