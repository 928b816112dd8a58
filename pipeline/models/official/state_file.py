"""Reads checkpoint files without running anything in them."""

from __future__ import annotations

import argparse
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.foreign_arrays import read_npz
from pipeline.models.official.wrapping import shown
from storage.errors import InvalidInput, WeightsError
from storage.foreign_files import reading
from storage.text import visible

SAVE_ALONE = "Where it was made, save the tensors alone: torch.save(model.state_dict(), FILE)"
_COMPLAINT = "is no checkpoint that can be read: expected torch.save's, .safetensors or .npz"
_HARMLESS: tuple[Any, ...] = (
    argparse.Namespace, np.float64(0).__reduce__()[0], np.dtype,
    *(type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8", "u1", "?")),
)  # fmt: skip
"""Beside tensors and plain values: a script's options, and numpy numbers such as a best score."""

_SHOWN = 3


def read_checkpoint(path: str | Path) -> Mapping[Any, Any]:
    """What a checkpoint file holds: tensors by name, perhaps below a key, see :mod:`wrapping`.

    Files of ``torch.save``, old ones too, are unpickled by torch's restricted reader, which builds tensors and plain
    values and calls nothing else; ``.safetensors`` and ``.npz`` hold nothing but arrays.

    Raises:
        WeightsError: If there is no such file, it is damaged, or it holds other Python objects; one line.
    """
    file, name = Path(path), visible(path)
    if not file.is_file():
        raise WeightsError(f"{name}: {'is a folder, expected a file' if file.is_dir() else 'no such file'}")
    if file.stat().st_size == 0:
        raise WeightsError(f"{name}: is empty")
    with reading(path, _COMPLAINT, error=WeightsError, remedy="It may be damaged: fetch or save it again"):
        found = _read(file)
    if not isinstance(found, Mapping):
        raise WeightsError(f"{name}: holds a {type(found).__name__}, expected a state dict. {SAVE_ALONE}")
    return found


def _read(path: Path) -> Any:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    if path.suffix == ".npz":
        try:
            return read_npz(path, _COMPLAINT)
        except InvalidInput as problem:
            raise WeightsError(str(problem)) from None
    if _is_torchscript(path):
        raise WeightsError(f"{visible(path)}: is a TorchScript archive, not loaded: it could run code. {SAVE_ALONE}")
    with torch.serialization.safe_globals(list(_HARMLESS)):
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError:
            raise WeightsError(f"{visible(path)}: {_objects_in(path)}. {SAVE_ALONE}") from None


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _objects_in(path: Path) -> str:
    """What torch's restricted reader refused, in words."""
    if not zipfile.is_zipfile(path):
        return "is damaged, or holds Python objects, which are not loaded because they could run code"
    names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    some = ", ".join(shown(name) for name in sorted(names)[:_SHOWN])
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"holds Python objects{some and f' ({some}{more})'}, which are not loaded because they could run code"
