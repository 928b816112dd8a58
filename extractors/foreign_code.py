"""Mistakes in backbones of files and packages that are not ours: one line for their author instead of a traceback."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from extractors.base import Extractor
from extractors.views import AudioView, FrameView
from extractors.weights.loading import WeightsSource
from storage.array_names import array_name_problem
from storage.errors import AvvpError, UnknownBackbone
from storage.schema import FeatureSpec
from storage.text import error_words

_DISKS = (PermissionError, BlockingIOError, ConnectionError, TimeoutError)


@contextmanager
def authors_mistakes(extractor: Extractor) -> Iterator[None]:
    """Turn what a foreign backbone raises into one line that names the place; what ours raise stays as it is.

    Raises:
        UnknownBackbone: With the exception in words, and its last line in the author's code.
    """
    try:
        yield
    except (AvvpError, MemoryError, *_DISKS):
        raise
    except Exception as problem:
        if not extractor.origin or is_no_mistake(problem):
            raise
        raise UnknownBackbone(mistake(extractor.name, extractor.origin, problem)) from problem


def is_no_mistake(problem: Exception) -> bool:
    """Whether a device or a disk has failed, rather than the author."""
    if isinstance(problem, OSError):
        return not isinstance(problem, (FileNotFoundError, IsADirectoryError, NotADirectoryError))
    if not isinstance(problem, RuntimeError):
        return False
    from extractors.engines.batches import is_out_of_memory
    from extractors.engines.device_errors import is_device_broken

    return is_out_of_memory(problem) or is_device_broken(problem)


def mistake(name: str, origin: str, problem: BaseException) -> str:
    """One line: the backbone, what was raised, where, and what to do."""
    frames = [frame for frame in traceback.extract_tb(problem.__traceback__) if frame.filename == origin]
    place = f" ({origin}:{frames[-1].lineno})" if frames else ""
    return f"backbone {name!r}: {error_words(problem)}{place}. Mend {origin}"


def check_facts(extractor: Extractor) -> None:
    """Look at what a foreign backbone says of itself before anything is made from it.

    Raises:
        UnknownBackbone: If the store or the decoder could not use it.
    """
    if not extractor.origin:
        return
    with authors_mistakes(extractor):
        view = _of(extractor, "view", (FrameView, AudioView))
        _of(extractor, "weights_source", WeightsSource)
        _of(extractor, "code_version", str)
        if extractor.modality != view.modality:
            raise ValueError(f"modality is {extractor.modality!r}, but its view is {view.modality}")
        for spec in _of(extractor, "specs", (tuple, list)):
            _check_spec(spec, extractor.modality)
        try:
            json.dumps(dict(extractor.preprocessing))
        except (TypeError, ValueError) as problem:
            raise ValueError(f"preprocessing is no plain data: {problem}") from None


def _of(extractor: Extractor, name: str, kind: Any) -> Any:
    found = getattr(extractor, name)
    if not isinstance(found, kind):
        kinds = " or ".join(each.__name__ for each in (kind if isinstance(kind, tuple) else (kind,)))
        raise TypeError(f"{name} is {type(found).__name__}, expected {kinds}")
    return found


def _check_spec(spec: Any, modality: str) -> None:
    if not isinstance(spec, FeatureSpec):
        raise TypeError(f"specs holds {type(spec).__name__}, expected FeatureSpec")
    if problem := array_name_problem(spec.name):
        raise ValueError(f"the array {spec.name!r} {problem}")
    for what, number in (("steps", spec.steps), ("dim", spec.dim)):
        if not (isinstance(number, int) and number > 0):
            raise ValueError(f"{spec.name} has {what} {number!r}, expected a whole number above 0")
    if spec.modality != modality:
        raise ValueError(f"{spec.name} is {spec.modality!r}, but the backbone is {modality}")
