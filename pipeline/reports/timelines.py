"""Writes qualitative timelines: truth and predictions of runs for clips that the user names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from pipeline.datasets.clip_preview import Preview, read_clip_preview
from pipeline.reports.chosen_clips import chosen_clips, file_name
from pipeline.reports.evaluation import Decided
from pipeline.reports.svg import write_svg
from pipeline.reports.timeline_picture import Track, timeline_svg
from pipeline.training.run_store import open_run_store
from storage.errors import InvalidInput
from storage.store import FeatureStore
from storage.tables.llp_names import YOUTUBE_ID_LENGTH

_NEEDED = ("thumbnails", "envelope")


def write_timelines(
    runs: Mapping[str, Decided], clips: Sequence[str], folder: Path, *, split: str, store: FeatureStore | None,
    console: Console,
) -> None:  # fmt: skip
    """Write ``CLIP.svg`` for each clip.

    Args:
        runs: decisions by the name of the run, all on the same videos.
        clips: ids, or what they begin with.
        folder: made if absent.
        split: for messages.
        store: whose previews to draw, if it keeps any.
        console: is told of the files, and why they have no thumbnails and waveform.

    Raises:
        InvalidInput: If a clip is not there.

    Source: LEAP (Zhou et al., ECCV 2024), figure 4.
    """
    first = next(iter(runs.values()))
    named = chosen_clips(clips, first.ids, split=split)
    previews = {} if store is None else _previews(store, named)
    if store is not None and not previews:
        console.print(f"no thumbnails and waveform: {store.url} keeps none. Make them: avvp extract --keep preview")
    for clip in named:
        row = first.ids.index(clip)
        tracks = [Track("truth", first.truth.audio[row], first.truth.visual[row])]
        tracks += [Track(name, one.audio[row], one.visual[row]) for name, one in runs.items()]
        target = folder / f"{file_name(clip)}.svg"
        write_svg(target, timeline_svg(clip, tracks, first.truth.dataset, previews.get(clip)))
        console.print(f"timeline: {target}")


def preview_store(runs: Sequence[Path], store_url: str | None, console: Console) -> FeatureStore | None:
    """The store to take previews from: the given one, or that of the first run's folder if it is found.

    Args:
        runs: folders, or predictions files, which have no store.
        store_url: rather than theirs.
        console: is told why there is none.
    """
    if store_url is not None:
        return FeatureStore.open(store_url)
    folders = [run for run in runs if run.is_dir()]
    if not folders:
        console.print("no thumbnails and waveform: predictions files name no store. Give --store STORE")
        return None
    try:
        return open_run_store(folders[0])
    except InvalidInput as problem:
        console.print(f"no thumbnails and waveform: {problem}")
        return None


def _previews(store: FeatureStore, clips: Sequence[str]) -> dict[str, Preview]:
    if not set(_NEEDED) <= set(store.decoded):
        return {}
    row_of = {name: row for row, name in enumerate(store.ids)}
    committed = store.committed("decoded.thumbnails")
    found = {}
    for clip in clips:
        row = row_of.get(clip, row_of.get(clip[:YOUTUBE_ID_LENGTH]))
        if row is not None and committed[row]:
            found[clip] = read_clip_preview(store, row)
    return found
