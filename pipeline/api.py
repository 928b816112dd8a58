"""The pipeline as functions: what the command line does, from Python.

Errors are those of the command line, each one line: :class:`storage.errors.AvvpError`, among them
:class:`storage.extras.MissingExtra` where a package is not installed. Progress goes to standard error.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

from storage.errors import InvalidInput
from storage.extras import naming_extras

if TYPE_CHECKING:
    from pipeline.extraction.one_clip import ClipFeatures
    from pipeline.extraction.options import ExtractKeywords
    from pipeline.extraction.reporting import ExtractReport, Reporter
    from storage.clips import ClipTable
    from storage.schema import Sampling
    from storage.store import FeatureStore

AnyPath = str | PathLike[str]
Weights = str | Sequence[str] | Mapping[str, str]
Value = str | bool | int | float | Sequence[Any]


@dataclass(frozen=True)
class TrainResult:
    """A run that has been trained.

    Attributes:
        run: its folder: recipe, checkpoints, predictions, tables.
        scores: of its best epoch, in percent, by split: ``val``, and ``test`` if the store has such clips.
    """

    run: Path
    scores: Mapping[str, Mapping[str, float]]


@naming_extras()
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
        clips: a folder of media, the LLP CSVs, a CSV or JSONL table, or a table that has been read.
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

    chosen = ExtractOptions(tuple(backbones), _weights_texts(weights, backbones), **options)  # type: ignore[arg-type]
    if not chosen.backbones and not chosen.keep:
        raise InvalidInput("nothing to extract: give backbones=[...] (see: avvp backbones) or keep=['frames']")
    table = (
        clips
        if isinstance(clips, ClipTable)
        else ClipTable.load(_text(clips), media=None if media is None else _text(media))
    )
    if progress:
        tell(table.notes)
    with _reporter(progress=progress, compiled=chosen.compile_networks) as reporter:
        return fill_store(table, _text(store), chosen, reporter=reporter)


@naming_extras()
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

    return FeatureStore.open(_text(store))


@naming_extras()
def features_of(
    path: AnyPath,
    backbone: str,
    *,
    weights: str = "pretrained",
    clip_seconds: int | None = None,
    sampling: Sampling = "uniform",
    precision: Literal["float32", "bfloat16", "float16"] = "float32",
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
        Path(path), backbone, weights=weights, clip_seconds=clip_seconds, sampling=sampling, precision=precision,
        device=device, engine=engine,
    )  # fmt: skip


@naming_extras()
def train(
    *,
    store: AnyPath,
    annotations: AnyPath,
    out: AnyPath,
    recipe: AnyPath | None = None,
    init: AnyPath | None = None,
    changes: Mapping[str, Value] | None = None,
    dataset: str | None = None,
    missing: Literal["skip", "error"] = "skip",
    device: Literal["auto", "cpu"] = "auto",
    progress: bool = True,
) -> TrainResult:
    """Train a parser on the features of a store. ``python -m pipeline.train``.

    Args:
        store: a store with the recipe's features.
        annotations: the folder with the label files of the dataset.
        out: the run's folder; a run that was killed goes on after its last whole epoch.
        recipe: one that is shipped, such as ``leap-mmpyr``, or a TOML file. ``None``: that of ``init``.
        init: a run, trained or imported: begin with its best weights instead of fresh ones.
        changes: other values for the recipe, by their names with dots: ``{"train.epochs": 5}``.
        dataset: a dataset description: a name or a TOML file. ``None``: the one of the recipe's task.
        missing: what becomes of clips that lack a feature.
        device: ``auto`` or ``cpu``.
        progress: tell of each epoch and print the table, on standard error.

    Raises:
        InvalidInput: If what was given does not fit together, or the loss is not finite.

    Examples:
        >>> from pipeline import train
        >>> small = {"train.epochs": 1, "model.width": 16, "model.encoder.feed_forward": 16}
        >>> trained = train(
        ...     recipe="han", store="toy/features.zarr", annotations="toy/annotations", out="run", changes=small
        ... )
        >>> trained.run.name, sorted(trained.scores)
        ('run', ['test', 'val'])
    """
    from pipeline.terminal.console import error_console, silent_console
    from pipeline.train import run_training

    if device not in ("auto", "cpu"):
        raise InvalidInput(f"device {device!r}: expected auto or cpu")
    scores = run_training(
        recipe=None if recipe is None else str(recipe), init=None if init is None else Path(init), out=Path(out),
        store_url=_text(store), annotations=str(annotations), dataset=dataset,
        changes=tuple(f"{name}={json.dumps(value)}" for name, value in (changes or {}).items()),
        missing=missing, device=device, console=error_console() if progress else silent_console(),
    )  # fmt: skip
    return TrainResult(Path(out), scores)


@naming_extras()
def evaluate(
    *,
    annotations: AnyPath,
    run: AnyPath | None = None,
    predictions: AnyPath | None = None,
    split: str = "test",
    store: AnyPath | None = None,
    dataset: str | None = None,
    mask: Literal["none", "union", "own", "mmcse"] | None = None,
    threshold: float | None = None,
) -> dict[str, float]:
    """Score a run, or anyone's predictions, exactly as the published code does. ``python -m pipeline.evaluate``.

    Args:
        annotations: the folder with the label files of the dataset.
        run: a run's folder, trained or imported.
        predictions: instead of a run: a ``.npz`` with ``id``, ``audio_segment``, ``visual_segment``, and
            ``union_video`` … if there is one.
        split: of the dataset.
        store: instead of the store that the run was trained on or imported for.
        dataset: a dataset description: a name or a TOML file. ``None``: llp, or ave for localization.
        mask: which video-level probabilities a segment needs too; ``None`` for the run's.
        threshold: a probability that equals it counts; ``None`` for the run's, or 0.5.

    Returns:
        Scores in percent by name, such as ``seg_type``, ``ev_event`` and ``average``.

    Raises:
        InvalidInput: If neither or both of ``run`` and ``predictions`` are given, or they do not fit the annotations.

    Examples:
        >>> from pipeline import evaluate
        >>> scores = evaluate(run="run", annotations="toy/annotations", split="val")
        >>> len(scores), 0 <= scores["average"] <= 100
        (11, True)
    """
    from pipeline.evaluate import run_evaluation
    from pipeline.terminal.console import silent_console

    return run_evaluation(
        run=None if run is None else Path(run), predictions=None if predictions is None else str(predictions),
        annotations=str(annotations), dataset=dataset, split=split, store_url=None if store is None else _text(store),
        mask=mask, threshold=threshold, console=silent_console(),
    )  # fmt: skip


def _text(path: AnyPath) -> str:
    return str(path)


def _weights_texts(weights: Weights, backbones: Sequence[str]) -> tuple[str, ...]:
    """Weights as the command line takes them."""
    if isinstance(weights, str):
        return (weights,)
    if not isinstance(weights, Mapping):
        return tuple(weights)
    if unknown := [name for name in weights if name not in backbones]:
        raise InvalidInput(f"weights for {unknown[0]!r}: is not among the backbones: {', '.join(backbones)}")
    return tuple(f"{name}={value}" for name, value in weights.items())


def _reporter(*, progress: bool, compiled: bool) -> AbstractContextManager[Reporter | None]:
    from pipeline.extraction.progress import terminal_reporter

    return terminal_reporter(compiled=compiled) if progress else nullcontext()
