"""From what the user asked for to a model and everything that it is run with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.datasets.dataset_description import DatasetDescription
from pipeline.datasets.threshold_files import load_thresholds, read_class_thresholds
from pipeline.parsing.choose_model import choose_weights, open_model
from pipeline.parsing.decisions import EventRules, Levels
from pipeline.parsing.parse_file import HowToParse
from pipeline.parsing.window_model import WindowModel
from pipeline.parsing.work_store import extraction_of
from storage.errors import InvalidInput


@dataclass(frozen=True)
class Rules:
    """What counts as an event, before the model's classes are known; see :class:`EventRules`.

    Attributes:
        threshold: one for all classes.
        thresholds: a JSON file with one a class, or a TOML file with tables ``audio`` and ``visual``.
        min_duration: in seconds.
        join_gap: in seconds.
        classes: names, or several with commas between.
        top: classes a modality.
    """

    threshold: float | None = None
    thresholds: str | Path | None = None
    min_duration: float = 0.0
    join_gap: float = 0.0
    classes: Sequence[str] = ()
    top: int | None = None

    def of(self, model: WindowModel) -> EventRules:
        """For a model.

        Raises:
            InvalidInput: If a value makes no sense, a class is unknown, or the file is not for these classes.
        """
        levels = None if self.thresholds is None else _levels(str(self.thresholds), model)
        asked = [self.classes] if isinstance(self.classes, str) else self.classes
        chosen = tuple(name for text in asked for name in _names(text, model.classes))
        rules = EventRules(self.threshold, levels, self.min_duration, self.join_gap, chosen, self.top)
        rules.check_classes(model.classes)
        return rules


def set_up(
    name: str | None,
    *,
    dataset: str | None,
    rules: Rules,
    hop: int | None,
    preview: bool,
    extraction: Mapping[str, Any],
) -> tuple[WindowModel, HowToParse]:  # fmt: skip
    """The model, and how it parses.

    Args:
        name: see :func:`pipeline.parsing.choose_model.open_model`.
        dataset: likewise.
        rules: what counts as an event.
        hop: seconds between two windows; ``None`` for half a window.
        preview: whether small pictures and the sound's envelope are kept for the page.
        extraction: fields of :class:`~pipeline.extraction.options.ExtractOptions` that the user gave.

    Raises:
        InvalidInput: If something cannot be used.
        WeightsError: If weights cannot be had.
    """
    given = dict(extraction)
    weights = tuple(given.pop("weights", ()))
    device = given.get("device", "auto")
    if "," in device:
        raise InvalidInput(f"--device {device}: avvp parse runs on one device. Give one, and start a second command")
    model = open_model(name, dataset=dataset, weights=weights, device=device, engine=given.get("engine", "auto"))
    how = HowToParse(choose_weights(model, weights), hop=hop, rules=rules.of(model), preview=preview, extraction=given)
    _check(model, how)
    return model, how


def _check(model: WindowModel, how: HowToParse) -> None:
    """Refuse what does not fit before anything is read."""
    from extractors.engines.runtime import pick_device
    from extractors.engines.selection import pick_engine

    how.hop_of(model)
    options = extraction_of(model, how.extraction, published=False, preview=how.preview, weights=how.weights)
    pick_engine(options.engine, device=pick_device(options.device))


def _levels(path: str, model: WindowModel) -> Levels:
    if path.endswith(".json"):
        one = read_class_thresholds(path, model.classes)
        return {"audio": one, "visual": one}
    classes = DatasetDescription(model.facts.name, model.classes, model.segments, float(model.window_seconds))
    found = load_thresholds(path, classes)
    return {"audio": found.audio, "visual": found.visual}


def _names(text: str, known: Sequence[str]) -> list[str]:
    """One name, or several: names may hold commas themselves."""
    names = [text] if text in known else [part.strip() for part in text.split(",") if part.strip()]
    if not names:
        raise InvalidInput(f"--classes {text!r}: expected names. The model knows {', '.join(known)}")
    return names
