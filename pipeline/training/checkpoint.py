"""Checkpoints: weights as safetensors, the state to resume a run exactly, and the checksums of both."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from pydantic.dataclasses import dataclass
from safetensors.torch import load_file, save
from torch import nn

from pipeline.foreign_arrays import read_json
from pipeline.toml_tables import FORBID_EXTRA, CountOrZero, read_table
from storage.errors import AvvpError, InvalidInput, StoreError, WeightsError
from storage.files.checked_json import pack, unpack
from storage.foreign_files import reading

WEIGHTS = "model.safetensors"
OPTIMIZER = "optimizer.pt"
PROGRESS = "progress.json"
CHECKSUMS = "checksums.json"
"""SHA-256 of each file of a checkpoint. Checkpoints of earlier versions have none, and are not checked."""
_SHOWN = 200
"""Letters of torch's list of names that do not fit."""


@dataclass(config=FORBID_EXTRA)
class Progress:
    """Progress of a run.

    Attributes:
        epoch: the last one that ended.
        best_epoch: of the best checkpoint; 0 before the first evaluation.
        best_score: of it.
        history: one entry an epoch, as in ``metrics.jsonl``.
    """

    epoch: CountOrZero
    best_epoch: CountOrZero
    best_score: float
    history: list[dict[str, Any]]


def save_checkpoint(
    folder: Path, model: nn.Module, *, optimizer: torch.optim.Optimizer | None = None, progress: Progress | None = None
) -> None:
    """Write a checkpoint folder atomically.

    Args:
        folder: replaced if it is there.
        model: its weights.
        optimizer: its state, to go on training.
        progress: likewise.

    Raises:
        OSError: If the disk does not take it. The checkpoint that was there stays.
    """
    half = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(half, ignore_errors=True)
    files = {WEIGHTS: save({name: tensor.contiguous() for name, tensor in model.state_dict().items()})}
    if optimizer is not None:
        state = io.BytesIO()
        torch.save(optimizer.state_dict(), state)
        files[OPTIMIZER] = state.getvalue()
    if progress is not None:
        files[PROGRESS] = json.dumps(asdict(progress)).encode()
    files[CHECKSUMS] = pack({name: hashlib.sha256(data).hexdigest() for name, data in files.items()})
    try:
        _write_all(half, files)
    except OSError:  # a full disk: make room again, the last checkpoint stays
        shutil.rmtree(half, ignore_errors=True)
        raise
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    half.rename(folder)
    _sync(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def find_checkpoint(folder: Path) -> Path | None:
    """A checkpoint folder; the previous one if a save was killed between its two renames."""
    old = folder.with_name(f".{folder.name}.old")
    return folder if folder.is_dir() else old if old.is_dir() else None


def load_weights(folder: Path, model: nn.Module, *, remedy: str = "Train it again, in another --out") -> None:
    """Load a checkpoint's weights into a model.

    Args:
        folder: of the checkpoint.
        model: changed in place.
        remedy: what to do about weights of another model, as a sentence.

    Raises:
        WeightsError: If they are absent, damaged or of another model.
    """
    with reading(folder / WEIGHTS, "cannot be read", error=WeightsError):
        _check_unchanged(folder, WEIGHTS, error=WeightsError)
        state = {_current_name(name): tensor for name, tensor in load_file(folder / WEIGHTS).items()}
    try:
        model.load_state_dict(state)
    except RuntimeError as problem:
        first = "".join(str(problem).splitlines()[1:2]).strip()
        shown = first if len(first) <= _SHOWN else f"{first[:_SHOWN]} …"
        raise WeightsError(
            f"{folder / WEIGHTS}: is of another model or an older version: {shown} {remedy}"
        ) from problem


def _current_name(name: str) -> str:
    """Name of a weight today: the input projection was called ``front_end`` in earlier checkpoints."""
    return f"input_projection.{name.removeprefix('front_end.')}" if name.startswith("front_end.") else name


def load_progress(folder: Path, optimizer: torch.optim.Optimizer, *, epochs: int) -> Progress:
    """Restore the optimizer state of a checkpoint, and return the progress.

    Args:
        folder: of the checkpoint.
        optimizer: changed in place; left alone where the run has ended and its state was dropped.
        epochs: that the run is to have.

    Raises:
        InvalidInput: If the checkpoint cannot be trained further.
    """
    remedy = "Training cannot go on from here. Give another --out"
    path = folder / PROGRESS
    with reading(path, "cannot be read", error=InvalidInput, remedy=remedy):
        _check_unchanged(folder, PROGRESS, error=InvalidInput)
    progress = read_table(Progress, read_json(path, remedy=remedy), where=str(path))
    if progress.epoch >= epochs and not (folder / OPTIMIZER).exists():
        return progress
    check_can_go_on(folder)
    with reading(folder / OPTIMIZER, "holds no state of this optimizer", error=InvalidInput, remedy=remedy):
        _check_unchanged(folder, OPTIMIZER, error=InvalidInput)
        optimizer.load_state_dict(torch.load(folder / OPTIMIZER, weights_only=True))
    return progress


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits.

    Raises:
        InvalidInput: If it cannot be read.
    """
    with reading(path, "cannot be read", error=InvalidInput), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_can_go_on(folder: Path) -> None:
    """Raises InvalidInput if a checkpoint has no optimizer state."""
    if not (folder / OPTIMIZER).exists():
        raise InvalidInput(
            f"{folder / OPTIMIZER}: is missing: a run drops it when it ends, unless --keep-optimizer is given. Begin a "
            f"run of its own with these weights: --init {folder.parent} --out NEW"
        )


def drop_optimizer(folder: Path, model: nn.Module, progress: Progress) -> None:
    """Write a checkpoint anew without the optimizer's state, which is two thirds of it; nothing if it has none."""
    if (folder / OPTIMIZER).exists():
        save_checkpoint(folder, model, progress=progress)


def _check_unchanged(folder: Path, name: str, *, error: type[AvvpError]) -> None:
    """Raises ``error`` if a file is not the one that was written with this checkpoint."""
    path = folder / CHECKSUMS
    if not path.exists():
        return
    try:
        written = unpack(path.read_bytes(), where=str(path)).get(name)
    except StoreError:
        raise error(f"{path}: is damaged. Put it back from a copy, or train again in another --out") from None
    if written is not None and file_digest(folder / name) != written:
        raise error(
            f"{folder / name}: is not the file that was written: its bytes were changed. Put it back from a copy, "
            "or train again in another --out"
        )


def _write_all(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.mkdir(parents=True)
    for name, data in files.items():
        with (folder / name).open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
