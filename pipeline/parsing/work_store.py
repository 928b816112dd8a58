"""The features of one file, in a store of its own: tiles as clips, read back by the second.

A store gives what a long file needs: a kill costs one shard of tiles, a second model finds the features of the first,
and memory does not grow with the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from extractors import registry
from extractors.base import MIN_SEGMENT_COVER
from pipeline.decode.span import without_cuts
from pipeline.parsing.parsed_video import Modality
from pipeline.parsing.tiles import Cut
from pipeline.parsing.window_model import ModelInput, WindowModel
from storage.clips import Clip, ClipTable
from storage.errors import StoreError
from storage.store import FeatureStore
from storage.text import kind_of_reason

if TYPE_CHECKING:
    from pipeline.extraction.decode_pools import DecodePools
    from pipeline.extraction.engine import LoadedBackbone
    from pipeline.extraction.options import ExtractOptions
    from pipeline.extraction.reporting import Reporter

_SHOWN_REASONS = 3
"""Kinds of them: a tile a reason would be pages for a long file."""
SHARD_TILES = 8
"""Tiles a shard: what a kill can cost."""


def in_seconds(model: WindowModel) -> bool:
    """Whether every array that a model reads has the same number of steps in each second, and no others."""
    for item in model.inputs:
        made = registry.create(item.backbone, clip_seconds=model.window_seconds)
        spec = next(spec for spec in made.specs if spec.name == item.array)
        if spec.step_seconds is None or spec.steps % model.window_seconds:
            return False
    return True


def tile_table(path: Path, cut: Cut) -> ClipTable:
    """The tiles of a file as clips, named as LLP names its clips: ``holiday_10_20``."""
    spans = [(start, f"{path.stem}_{start}_{start + cut.window}") for start in cut.tiles]
    clips = [Clip(name, str(path.absolute()), float(start)) for start, name in spans]
    return ClipTable(clips, dataset="parse", source=str(path))


@dataclass(frozen=True)
class Resident:
    """What stays up from one file to the next.

    Attributes:
        networks: built so far, by backbone.
        pools: of decode workers; whoever made them closes them.
    """

    pools: DecodePools
    networks: MutableMapping[str, LoadedBackbone] = field(default_factory=dict)


def fill_work_store(
    url: str,
    table: ClipTable,
    options: ExtractOptions,
    *,
    reporter: Reporter,
    resident: Resident,
) -> FeatureStore:
    """Extract what is missing.

    Raises:
        SchemaMismatch: If the store holds other tiles, or arrays made otherwise.
        WeightsError: If weights cannot be had.
    """
    from pipeline.extraction.fill import fill

    fill(table, url, options, reporter=reporter, networks=resident.networks, pools=resident.pools)
    return FeatureStore.open(url)


@dataclass(frozen=True)
class Presence:
    """What a store has of a modality of the file.

    Attributes:
        valid: ``[seconds]`` bool, where every array of the modality has values for at least half of the second.
        reason: why there are none, or not in all seconds; empty where nothing is missing.
    """

    valid: NDArray[np.bool_]
    reason: str


class WindowReader:
    """Puts windows together from the tiles of a store.

    Args:
        store: filled.
        cut: of the file.
        inputs: the arrays of the model.
        whole: each window is a tile of its own, see :func:`in_seconds`.
    """

    def __init__(self, store: FeatureStore, cut: Cut, inputs: Iterable[ModelInput], *, whole: bool) -> None:
        self._store = store
        self._cut = cut
        self._inputs = tuple(inputs)
        self._whole = whole
        self._tile, self._inside = cut.places()
        self.presence = {
            modality: self._presence([item.array for item in self._inputs if item.modality == modality])
            for modality in dict.fromkeys(item.modality for item in self._inputs)
        }

    def _presence(self, arrays: Iterable[str]) -> Presence:
        valid = np.ones(self._cut.seconds, dtype=bool)
        reasons: dict[str, str] = {}
        for name in arrays:
            known = self._store.valid(name)
            steps = known.shape[1] // self._cut.window
            if known.shape[1] == steps * self._cut.window:
                cover = known.reshape(len(known), self._cut.window, steps).mean(axis=2)
                seconds = (cover >= MIN_SEGMENT_COVER)[self._tile, self._inside]
            else:
                seconds = known.all(axis=1)[self._tile]
            valid &= seconds
            for said in self._said_of(name, np.unique(self._tile[~seconds]).tolist()):
                if reason := without_cuts(said, ends=bool(seconds.any())):
                    reasons.setdefault(kind_of_reason(reason), reason)
        return Presence(valid, "; ".join([*reasons.values()][:_SHOWN_REASONS]))

    def _said_of(self, array: str, tiles: Sequence[int]) -> Iterator[str]:
        """What the ledger says of tiles, each with its turn; empty where nothing."""
        records = self._store.ledger(array).newest() if tiles else {}
        for shard, at in (divmod(tile, self._store.info.shard_size) for tile in tiles):
            if shard not in records:
                url = self._store.url
                raise StoreError(f"{url}: {array} has no committed shard {shard}. Run the same command again")
            entry = records[shard].rows[at]
            yield entry.reason or (entry.status if entry.failed else "")

    def read(self, windows: slice) -> dict[str, NDArray[np.float32]]:
        """Features of some windows.

        Returns:
            By array ``[windows, steps, dim]``. A second without values repeats the last one that has some, or the
            first; an array of a modality that has none anywhere holds zeros.
        """
        starts = np.asarray(self._cut.windows[windows])
        found = {}
        for item in self._inputs:
            valid = self.presence[item.modality].valid
            spec = self._store.spec(item.array)
            if not valid.any():
                found[item.array] = np.zeros((len(starts), spec.steps, spec.dim), dtype=np.float32)
            elif self._whole:
                found[item.array] = self._whole_windows(item.array, starts)
            else:
                found[item.array] = self._composed(item.array, starts, _nearest(valid))
        return found

    def _composed(self, array: str, starts: NDArray[np.intp], source: NDArray[np.intp]) -> NDArray[np.float32]:
        """Windows from seconds; ``source`` is the second that stands for each."""
        wanted = source[np.minimum(starts[:, None] + np.arange(self._cut.window), self._cut.seconds - 1)]
        rows = np.unique(self._tile[wanted])
        block = _filled(self._store.read(array, rows).astype(np.float32), self._store.valid(array, rows))
        by_second = block.reshape(len(rows), self._cut.window, -1, block.shape[2])
        picked = by_second[np.searchsorted(rows, self._tile[wanted]), self._inside[wanted]]
        return np.asarray(picked.reshape(len(starts), -1, block.shape[2]))

    def _whole_windows(self, array: str, starts: NDArray[np.intp]) -> NDArray[np.float32]:
        rows = np.searchsorted(self._cut.tiles, starts)
        return _filled(self._store.read(array, rows).astype(np.float32), self._store.valid(array, rows))


def _filled(block: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Steps without values repeat the last valid one of their tile, or its first; zeros where it has none."""
    if valid.all():
        return block
    source = np.stack([_nearest(row) for row in valid])
    return np.nan_to_num(np.take_along_axis(block, source[:, :, None], axis=1), copy=False)


def _nearest(valid: NDArray[np.bool_]) -> NDArray[np.intp]:
    """For each place itself where valid, else the last valid one before it, else the first."""
    at = np.where(valid, np.arange(len(valid)), -1)
    before = np.maximum.accumulate(at)
    return np.where(before >= 0, before, int(np.argmax(valid))).astype(np.intp)


def extraction_of(
    model: WindowModel, given: Mapping[str, Any], *, published: bool, preview: bool, weights: Mapping[str, str]
) -> ExtractOptions:
    """What to extract for a model.

    Args:
        model: names backbones and window.
        given: further fields of :class:`~pipeline.extraction.options.ExtractOptions` from the user.
        published: whether frames are taken as the published scripts did, which is defined for one window only.
        preview: whether small pictures and the sound's envelope are kept for the page.
        weights: by backbone.
    """
    from pipeline.extraction.options import ExtractOptions

    names = tuple(dict.fromkeys(item.backbone for item in model.inputs))
    return ExtractOptions(
        names,
        weights=tuple(f"{name}={weights[name]}" for name in names),
        sampling="published" if published else "uniform",
        keep=("preview",) if preview else (),
        clip_seconds=model.window_seconds,
        shard_size=SHARD_TILES,
        **given,
    )


def absent(presence: Mapping[Modality, Presence]) -> dict[Modality, str]:
    """Modalities without any value, and why."""
    return {modality: found.reason for modality, found in presence.items() if not found.valid.any()}
