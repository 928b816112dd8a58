"""Checkpoints: weights as safetensors, and what a run needs to go on exactly where it was."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from storage.errors import InvalidInput, WeightsError

WEIGHTS = "model.safetensors"
OPTIMIZER = "optimizer.pt"
PROGRESS = "progress.json"
_SHOWN = 200
"""Letters of torch's list of names that do not fit."""


@dataclass
class Progress:
    """How far a run is.

    Attributes:
        epoch: the last one that ended.
        best_epoch: of the best checkpoint; 0 before the first evaluation.
        best_score: of it.
        history: one entry an epoch, as in ``metrics.jsonl``.
    """

    epoch: int
    best_epoch: int
    best_score: float
    history: list[dict[str, Any]]


def save_checkpoint(
    folder: Path, model: nn.Module, *, optimizer: torch.optim.Optimizer | None = None, progress: Progress | None = None
) -> None:
    """Write a checkpoint folder, whole or not at all.

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
        (half / PROGRESS).write_text(json.dumps(vars(progress)))
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
    """A checkpoint folder; if a kill fell between the two renames of a save, the one before."""
    old = folder.with_name(f".{folder.name}.old")
    return folder if folder.is_dir() else old if old.is_dir() else None


def load_weights(folder: Path, model: nn.Module) -> None:
    """Put a checkpoint's weights into a model.

    Raises:
        WeightsError: If they are absent, damaged or of another model.
    """
    try:
        state: Mapping[str, Tensor] = load_file(folder / WEIGHTS)
    except Exception as problem:
        raise WeightsError(f"{folder / WEIGHTS}: cannot be read: {problem}") from problem
    try:
        model.load_state_dict(state)
    except RuntimeError as problem:
        first = "".join(str(problem).splitlines()[1:2]).strip()
        shown = first if len(first) <= _SHOWN else f"{first[:_SHOWN]} …"
        raise WeightsError(
            f"{folder / WEIGHTS}: is of another model or an older version: {shown} Train it again, in another --out"
        ) from problem


def load_progress(folder: Path, optimizer: torch.optim.Optimizer) -> Progress:
    """Put a checkpoint's optimizer state back, and say how far the run was.

    Raises:
        InvalidInput: If the checkpoint cannot be trained further.
    """
    try:
        optimizer.load_state_dict(torch.load(folder / OPTIMIZER, weights_only=True))
        return Progress(**json.loads((folder / PROGRESS).read_text()))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError, pickle.UnpicklingError) as problem:
        raise InvalidInput(f"{folder}: training cannot go on from here: {problem}. Give another --out") from problem


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
