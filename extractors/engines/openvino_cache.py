"""Caches converted models on disk, under ``openvino/`` in the weights cache."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from extractors.weights.cache import cache_folder

_FORMAT = 1
"""Raised when models are converted otherwise; older entries are then not looked at."""

_MODEL, _WEIGHTS, _SIZES = "model.xml", "model.bin", "sizes.json"


def entry(name: str, facts: Sequence[Any]) -> Path:
    """The folder of a model.

    Args:
        name: of the backbone, for people.
        facts: plain data that tells this model from all others.
    """
    digest = hashlib.sha256(json.dumps([_FORMAT, name, *facts]).encode()).hexdigest()[:16]
    return cache_folder() / "openvino" / f"{re.sub(r'[^A-Za-z0-9._-]+', '_', name)}-{digest}"


def read(folder: Path) -> Any | None:
    """The model of an entry, or ``None`` if it is not there or damaged; its weights stay in the file, mapped."""
    from extractors.engines.openvino_import import import_openvino

    try:
        sizes = json.loads((folder / _SIZES).read_text())
        if sizes != {name: (folder / name).stat().st_size for name in (_MODEL, _WEIGHTS)}:
            return None
        return import_openvino().Core().read_model(str(folder / _MODEL))
    except (OSError, ValueError, RuntimeError):
        return None


def write(folder: Path, model: Any) -> Any:
    """Keep a model, and read it back from there. Other processes may do the same at the same time.

    Returns:
        The model of the entry; the one given where the cache cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    except OSError:
        return model
    try:
        _save(made, model)
        _put(made, folder)
    except (OSError, RuntimeError):  # a full disk: OpenVINO's own errors are RuntimeErrors
        return model
    finally:
        shutil.rmtree(made, ignore_errors=True)
    found = read(folder)
    return model if found is None else found


def _save(folder: Path, model: Any) -> None:
    from extractors.engines.openvino_import import import_openvino

    import_openvino().save_model(model, str(folder / _MODEL), compress_to_fp16=False)
    sizes = {name: (folder / name).stat().st_size for name in (_MODEL, _WEIGHTS)}
    (folder / _SIZES).write_text(json.dumps(sizes))


def _put(made: Path, folder: Path) -> None:
    """Rename a whole folder into its place. What stands there is damaged, or was just made by another process."""
    with contextlib.suppress(OSError):
        made.rename(folder)
        return
    if read(folder) is None:
        shutil.rmtree(folder, ignore_errors=True)
        made.rename(folder)
