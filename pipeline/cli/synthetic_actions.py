"""What ``avvp synthetic`` does."""

from __future__ import annotations

from pathlib import Path

from pipeline.terminal.console import wide_console
from storage.errors import InvalidInput


def make_synthetic(folder: Path, *, count: int, seed: int) -> None:
    """``avvp synthetic``."""
    from pipeline.synthetic.dataset import write_dataset

    clips = write_dataset(folder, count=count, seed=seed)
    splits = ", ".join(f"{sum(clip.split == name for clip in clips)} {name}" for name in ("train", "val", "test"))
    wide_console().print(f"{folder}: {len(clips)} clips ({splits}), with weak and dense labels")


def make_synthetic_features(folder: Path, *, count: int, seed: int, annotations: str | None) -> None:
    """``avvp synthetic --features``."""
    from pipeline.datasets.llp import load_annotations
    from pipeline.synthetic.features import write_features

    _refuse_a_second_store(folder)
    real = None if annotations is None else load_annotations(annotations)
    store = write_features(folder, count=count, seed=seed, annotations=real)
    wide_console().print(f"{store.url}: {store.info.clips} clips of made-up features; labels in {folder}/annotations")


def make_synthetic_events(folder: Path, *, count: int, seed: int) -> None:
    """``avvp synthetic --features --dataset ave``."""
    from pipeline.synthetic.events import write_event_features

    _refuse_a_second_store(folder)
    store = write_event_features(folder, count=count, seed=seed)
    wide_console().print(f"{store.url}: {store.info.clips} clips of made-up features; labels in {folder}/annotations")


def _refuse_a_second_store(folder: Path) -> None:
    """Before the label files are written: they would no longer be those of the store that is there."""
    if (folder / "features.zarr").exists():
        raise InvalidInput(f"{folder / 'features.zarr'}: is there already. Remove it, or give a new folder")
