"""Parsing of videos."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pipeline.api.arguments import AnyPath, Weights, local_file, weights_texts
from pipeline.api.calls import from_python

if TYPE_CHECKING:
    from pipeline.parsing.parsed_file import ParsedFile


@from_python
def parse(
    path: AnyPath,
    *,
    model: AnyPath | None = None,
    dataset: str | None = None,
    weights: Weights = (),
    hop: int | None = None,
    threshold: float | None = None,
    thresholds: AnyPath | None = None,
    min_duration: float = 0.0,
    join_gap: float = 0.0,
    classes: Sequence[str] = (),
    top: int | None = None,
    truth: AnyPath | None = None,
    keep: AnyPath | None = None,
    device: str = "auto",
    engine: Literal["auto", "torch", "openvino"] = "auto",
    progress: bool = True,
) -> ParsedFile:
    """Say what happens in a video, when, and whether it is heard or seen. ``avvp parse``.

    Nothing is written beside the video; see :meth:`~pipeline.parsing.parsed_file.ParsedFile.save`.

    Args:
        path: a video or sound file of any length.
        model: a run's folder, an imported checkpoint, ``clip+clap`` or ``yamnet+efficientnet_lite0``; ``None`` for the
            first of these two whose weights are at hand.
        dataset: whose classes the two teachers tell, ``llp`` if not given; a run has its own.
        weights: of the backbones: ``random:SEED`` or a file for all, or by backbone; the model's own if not given.
        hop: seconds between two windows; half a window if not given.
        threshold: smallest probability that counts; the model's if not given.
        thresholds: a file with one a class: JSON, or TOML by modality.
        min_duration: shorter events are dropped, in seconds.
        join_gap: events of a class with at most this between them are one, in seconds.
        classes: only these.
        top: only so many classes a modality.
        truth: folder with label files of the dataset, for the page.
        keep: a store for the features; another model on the same features decodes nothing then.
        device: ``auto``, ``cpu`` or ``cuda:N``.
        engine: ``auto``, ``torch`` or ``openvino``.
        progress: tell how it goes, on standard error.

    Returns:
        Events, probabilities and decisions; ``to_json()``, ``to_vtt(modality)``, ``to_html()``, ``save(folder)``.

    Raises:
        InvalidInput: If an option cannot be used.
        CannotParse: If the file has neither sound nor picture that can be decoded.
        WeightsError: If weights cannot be had.

    Examples:
        >>> from pipeline import parse
        >>> found = parse("clips/dog.mp4", model="yamnet+efficientnet_lite0", progress=False)
        >>> found.duration_seconds, found.probabilities["audio"].shape
        (2.0, (2, 25))
        >>> sorted({event.modality for event in found.events} - {"audio", "visual"})
        []
        >>> found.to_vtt("audio")[:6]
        'WEBVTT'
    """
    from pipeline.datasets.llp import load_annotations
    from pipeline.extraction.decode_pools import DecodePools
    from pipeline.extraction.reporting import Reporter
    from pipeline.parsing.parse_file import parse_file
    from pipeline.parsing.parse_progress import MinutesReporter
    from pipeline.parsing.parsed_file import ParsedFile
    from pipeline.parsing.setup import Rules, set_up
    from pipeline.parsing.work_store import Resident
    from storage.store import FeatureStore

    rules = Rules(threshold, None if thresholds is None else str(thresholds), min_duration, join_gap, classes, top)
    chosen, how = set_up(
        None if model is None else str(model), dataset=dataset, rules=rules, hop=hop, preview=True,
        extraction={"weights": weights_texts(weights), "device": device, "engine": engine},
    )  # fmt: skip
    annotations = None if truth is None else load_annotations(str(truth), dataset=dataset or "llp")
    file = local_file(path)
    reporter = MinutesReporter(file.name, tile_seconds=chosen.window_seconds) if progress else Reporter()
    with _place(keep) as url, DecodePools() as pools:
        video = parse_file(file, chosen, how, store_url=url, reporter=reporter, resident=Resident(pools))
        return ParsedFile.from_store(video, FeatureStore.open(url), annotations=annotations)


@contextmanager
def _place(keep: AnyPath | None) -> Iterator[str]:
    """Where features go: for good, or until the video is parsed."""
    if keep is not None:
        yield str(keep)
        return
    with tempfile.TemporaryDirectory(prefix="avvp-parse-") as folder:
        yield str(Path(folder) / "features.zarr")
