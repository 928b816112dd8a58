"""Extraction, stores and the features of one file."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Literal, Unpack

from pipeline.api.arguments import AnyPath, Weights, local_file, text_of, weights_texts
from pipeline.api.calls import from_python
from storage.errors import InvalidInput

if TYPE_CHECKING:
    from pipeline.extraction.one_clip import ClipFeatures
    from pipeline.extraction.options import ExtractKeywords
    from pipeline.extraction.reporting import ExtractReport, Reporter
    from storage.clips import ClipTable
    from storage.schema import Sampling
    from storage.store import FeatureStore


@from_python
def extract(
    clips: AnyPath | ClipTable,
    store: AnyPath,
    *,
    backbones: Sequence[str],
    weights: Weights = "pretrained",
    media: AnyPath | None = None,
    progress: bool = True,
    **options: Unpack[ExtractKeywords],
) -> ExtractReport:
    """Decode clips once, run every backbone on them, store the features. ``avvp extract``.

    What is in the store already is left alone: call it again after a kill.

    Args:
        clips: a folder of media, a tar or a pattern of tars, the LLP CSVs, a CSV or JSONL table, or a table that has
            been read. Folders and tars may be in a bucket.
        store: path or fsspec URL; made if absent.
        backbones: names as ``avvp backbones`` lists them.
        weights: ``pretrained``, ``random:SEED`` or a file for all backbones, or by backbone:
            ``{"vggish": "random:0"}``.
        media: where the media files of a table are, if not beside it.
        progress: tell how it goes, on standard error.
        **options: see :class:`pipeline.extraction.options.ExtractOptions`.

    Returns:
        What was done: ``read``, ``failed``, ``shards``. A clip that fails stops nothing.

    Raises:
        InvalidInput: If an option cannot be used.
        SchemaMismatch: If the store holds other clips, or arrays made otherwise.
        WeightsError: If weights cannot be had.

    Examples:
        >>> from pipeline import extract
        >>> report = extract("clips", "my.zarr", backbones=["efficientnet_lite0"], clip_seconds=2)
        >>> report.read, report.failed
        (2, {})
        >>> extract("clips", "my.zarr", backbones=["efficientnet_lite0"], clip_seconds=2).read  # nothing left to do
        0
    """
    from pipeline.extraction.extract import extract as fill_store
    from pipeline.extraction.options import ExtractOptions
    from pipeline.terminal.console import tell
    from storage.clips import ClipTable

    chosen = ExtractOptions(tuple(backbones), weights_texts(weights), **options)  # type: ignore[arg-type]
    if not chosen.backbones and not chosen.keep:
        raise InvalidInput("nothing to extract: give backbones=[...] (see: avvp backbones) or keep=['frames']")
    table = (
        clips
        if isinstance(clips, ClipTable)
        else ClipTable.load(text_of(clips), media=None if media is None else text_of(media))
    )
    if progress:
        tell(table.notes)
    with _reporter(progress=progress, compiled=chosen.compile_networks) as reporter:
        return fill_store(table, text_of(store), chosen, reporter=reporter)


@from_python
def open_store(store: AnyPath) -> FeatureStore:
    """Open a store for reading.

    Args:
        store: path or fsspec URL.

    Raises:
        StoreError: If there is none, or its schema version is not ours.

    Examples:
        >>> from pipeline import open_store
        >>> store = open_store("my.zarr")
        >>> store.features
        ('efficientnet_lite0',)
        >>> store.ids
        ['dog', 'rain']
        >>> store.read("efficientnet_lite0", ["rain"]).shape
        (1, 16, 1280)
    """
    from storage.store import FeatureStore

    return FeatureStore.open(text_of(store))


@from_python
def features_of(
    path: AnyPath,
    backbone: str,
    *,
    weights: str = "pretrained",
    clip_seconds: int | None = None,
    sampling: Sampling = "uniform",
    precision: Literal["float32", "tf32", "bfloat16", "float16"] = "float32",
    device: str = "auto",
    engine: Literal["auto", "torch", "openvino"] = "auto",
) -> ClipFeatures:
    """Features of one media file, without a store: the numbers that :func:`extract` would store.

    The file is decoded and the network run in this process, all at once: memory grows with ``clip_seconds``.

    Args:
        path: a video or sound file; the clip begins where it begins.
        backbone: name as ``avvp backbones`` lists it.
        weights: ``pretrained``, ``random:SEED`` or a file.
        clip_seconds: length of the clip; ``None`` for the file's, rounded to whole seconds.
        sampling: ``uniform``, or ``published``: the very frames that the published LLP scripts took.
        precision: of the network.
        device: ``auto``, ``cpu`` or ``cuda:N``.
        engine: ``auto``, ``torch`` or ``openvino``.

    Returns:
        ``values [steps, dim]``, ``valid [steps]`` and ``times [steps]`` in seconds.

    Raises:
        InvalidInput: If the file lacks what the backbone wants or cannot be decoded, or an option cannot be used.
        WeightsError: If weights cannot be had.

    Examples:
        >>> from pipeline import features_of
        >>> found = features_of("clips/dog.mp4", "efficientnet_lite0")
        >>> found.values.shape, bool(found.valid.all())
        ((16, 1280), True)
        >>> found.times[:3].tolist()
        [0.0, 0.125, 0.25]
        >>> features_of("clips/dog.mp4", "vggish", weights="random:0").times.tolist()
        [0.0, 1.0]
    """
    from pipeline.extraction.one_clip import extract_one

    return extract_one(
        local_file(path), backbone, weights=weights, clip_seconds=clip_seconds, sampling=sampling, precision=precision,
        device=device, engine=engine,
    )  # fmt: skip


def _reporter(*, progress: bool, compiled: bool) -> AbstractContextManager[Reporter | None]:
    from pipeline.extraction.progress import terminal_reporter

    return terminal_reporter(compiled=compiled) if progress else nullcontext()
