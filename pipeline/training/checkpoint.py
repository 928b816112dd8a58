"""Checkpoints: weights as safetensors, and the state to resume a run exactly."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from pydantic.dataclasses import dataclass
from safetensors.torch import load_file, save_file
from torch import nn

from pipeline.foreign_arrays import read_json
from pipeline.toml_tables import FORBID_EXTRA, CountOrZero, read_table
from storage.errors import InvalidInput, WeightsError
from storage.foreign_files import reading

WEIGHTS = "model.safetensors"
OPTIMIZER = "optimizer.pt"
PROGRESS = "progress.json"
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
    """
    half = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True)
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, half / WEIGHTS)
    if optimizer is not None:
        torch.save(optimizer.state_dict(), half / OPTIMIZER)
    if progress is not None:
        (half / PROGRESS).write_text(json.dumps(asdict(progress)))
    for file in half.iterdir():
        _sync(file)
    _sync(half)
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


def load_progress(folder: Path, optimizer: torch.optim.Optimizer) -> Progress:
    """Restore the optimizer state of a checkpoint, and return the progress.

    Raises:
        InvalidInput: If the checkpoint cannot be trained further.
    """
    remedy = "Training cannot go on from here. Give another --out"
    with reading(folder / OPTIMIZER, "holds no state of this optimizer", error=InvalidInput, remedy=remedy):
        optimizer.load_state_dict(torch.load(folder / OPTIMIZER, weights_only=True))
    path = folder / PROGRESS
    return read_table(Progress, read_json(path, remedy=remedy), where=str(path))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
