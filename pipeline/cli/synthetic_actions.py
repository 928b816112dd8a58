"""Implementation of ``avvp synthetic``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.terminal.console import say, wide_console
from storage.errors import InvalidInput

_SMALL = "--set model.width=64 --set model.encoder.feed_forward=64 --set train.learning_rate=1e-3 --set train.epochs=10"
CLIPS, EVENT_CLIPS = 24, 900
"""Made where ``--count`` is not given."""


def make_synthetic(folder: Path, *, count: int | None, seed: int) -> None:
    """``avvp synthetic``."""
    from pipeline.synthetic.dataset import write_dataset

    clips = write_dataset(folder, count=count or CLIPS, seed=seed)
    splits = ", ".join(f"{sum(clip.split == name for clip in clips)} {name}" for name in ("train", "val", "test"))
    wide_console().print(f"{folder}: {len(clips)} clips ({splits}), with weak and dense labels")


def make_synthetic_features(
    folder: Path, *, count: int | None, seed: int, annotations: str | None, difficulty: str | None,
    label_geometry: str | None, knobs: Mapping[str, Any],
) -> None:  # fmt: skip
    """``avvp synthetic --features``."""
    from pipeline.datasets.llp import load_annotations
    from pipeline.synthetic.features import EASY, EASY_CLASSES, EASY_COUNT, Difficulty, write_features
    from pipeline.synthetic.label_geometry import read_label_geometry
    from storage.tables.llp_names import LLP_CLASSES

    _refuse_a_second_store(folder)
    real = None if annotations is None else load_annotations(annotations)
    easy = (difficulty or ("easy" if real is None else "hard")) == "easy"
    store = write_features(
        folder, count=count or EASY_COUNT, seed=seed, annotations=real,
        difficulty=replace(EASY if easy else Difficulty(), **knobs), classes=EASY_CLASSES if easy else LLP_CLASSES,
        label_geometry=None if label_geometry is None else read_label_geometry(label_geometry, seed=seed),
    )  # fmt: skip
    several = store.provenance("vggish").preprocessing["segments_with_several_events"]
    say(
        f"{store.url}: {store.info.clips} clips of made-up features, several events in {several:.0%} of the segments "
        f"that have any; labels in {folder}/annotations"
    )
    if easy and real is None and not knobs and label_geometry is None:
        say(
            f"Train on it: avvp train --recipe han --store {store.url} --annotations {folder}/annotations "
            f"--out {folder}/run {_SMALL}"
        )


def make_synthetic_events(folder: Path, *, count: int | None, seed: int) -> None:
    """``avvp synthetic --features --dataset ave``."""
    from pipeline.synthetic.events import write_event_features

    _refuse_a_second_store(folder)
    store = write_event_features(folder, count=count or EVENT_CLIPS, seed=seed)
    wide_console().print(f"{store.url}: {store.info.clips} clips of made-up features; labels in {folder}/annotations")


def _refuse_a_second_store(folder: Path) -> None:
    """Before the label files are written: they would no longer be those of the store that is there."""
    if (folder / "features.zarr").exists():
        raise InvalidInput(f"{folder / 'features.zarr'}: is there already. Remove it, or give a new folder")
