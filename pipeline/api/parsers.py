"""Training and scoring of parsers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.api.arguments import AnyPath, Value, text_of
from pipeline.api.calls import from_python


@dataclass(frozen=True)
class TrainResult:
    """A run that has been trained.

    Attributes:
        run: its folder: recipe, checkpoints, predictions, tables.
        scores: of its best epoch, in percent, by split: ``val``, and ``test`` if the store has such clips.
    """

    run: Path
    scores: Mapping[str, Mapping[str, float]]


@from_python
def train(
    *,
    store: AnyPath,
    annotations: AnyPath,
    out: AnyPath,
    recipe: AnyPath | None = None,
    init: AnyPath | None = None,
    changes: Mapping[str, Value] | None = None,
    epochs: int | None = None,
    keep_optimizer: bool = False,
    dataset: str | None = None,
    missing: Literal["skip", "error"] = "skip",
    device: str = "auto",
    progress: bool = True,
) -> TrainResult:
    """Train a parser on the features of a store. ``python -m pipeline.train``.

    Args:
        store: a store with the recipe's features.
        annotations: the folder with the label files of the dataset.
        out: the run's folder; a run that was killed goes on after its last whole epoch.
        recipe: one that is shipped, such as ``leap-mmpyr``, or a TOML file. ``None``: that of ``init``.
        init: a run, trained or imported: begin with its best weights instead of fresh ones.
        changes: other values for the recipe, by their names with dots: ``{"train.epochs": 5}``.
        epochs: the same as ``train.epochs`` in ``changes``; a finished run that kept its optimizer may be given more.
        keep_optimizer: keep the optimizer's state in ``last/`` when the run has ended.
        dataset: a dataset description: a name or a TOML file. ``None``: the one of the recipe's task.
        missing: what becomes of clips that lack a feature.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        progress: tell of each epoch and print the table, on standard error.

    Raises:
        InvalidInput: If what was given does not fit together, or the loss is not finite.

    Examples:
        >>> from pipeline import train
        >>> small = {"train.epochs": 1, "model.width": 16, "model.encoder.feed_forward": 16}
        >>> trained = train(
        ...     recipe="han", store="toy/features.zarr", annotations="toy/annotations", out="run", changes=small
        ... )
        >>> trained.run.name, sorted(trained.scores)
        ('run', ['test', 'val'])
    """
    from pipeline.terminal.console import error_console, silent_console
    from pipeline.train import run_training

    scores = run_training(
        recipe=None if recipe is None else str(recipe), init=None if init is None else Path(init), out=Path(out),
        store_url=text_of(store), annotations=str(annotations), dataset=dataset,
        changes=tuple(f"{name}={json.dumps(value)}" for name, value in (changes or {}).items()),
        epochs=epochs, keep_optimizer=keep_optimizer, missing=missing, device=device,
        console=error_console() if progress else silent_console(),
    )  # fmt: skip
    return TrainResult(Path(out), scores)


@from_python
def evaluate(
    *,
    annotations: AnyPath,
    run: AnyPath | None = None,
    predictions: AnyPath | None = None,
    split: str = "test",
    store: AnyPath | None = None,
    dataset: str | None = None,
    mask: Literal["none", "union", "own", "mmcse"] | None = None,
    threshold: float | None = None,
) -> dict[str, float]:
    """Score a run, or anyone's predictions, exactly as the published code does. ``python -m pipeline.evaluate``.

    Args:
        annotations: the folder with the label files of the dataset.
        run: a run's folder, trained or imported.
        predictions: instead of a run: a ``.npz`` with ``id``, ``audio_segment``, ``visual_segment``, and
            ``union_video`` … if there is one.
        split: of the dataset.
        store: instead of the store that the run was trained on or imported for.
        dataset: a dataset description: a name or a TOML file. ``None``: llp, or ave for localization.
        mask: which video-level probabilities a segment needs too; ``None`` for the run's.
        threshold: a probability that equals it counts; ``None`` for the run's, or 0.5.

    Returns:
        Scores in percent by name, such as ``seg_type``, ``ev_event`` and ``average``.

    Raises:
        InvalidInput: If neither or both of ``run`` and ``predictions`` are given, or they do not fit the annotations.

    Examples:
        >>> from pipeline import evaluate
        >>> scores = evaluate(run="run", annotations="toy/annotations", split="val")
        >>> len(scores), 0 <= scores["average"] <= 100
        (11, True)
    """
    from pipeline.evaluate import run_evaluation
    from pipeline.terminal.console import silent_console

    return run_evaluation(
        run=None if run is None else Path(run), predictions=None if predictions is None else str(predictions),
        annotations=str(annotations), dataset=dataset, split=split, store_url=None if store is None else text_of(store),
        mask=mask, threshold=threshold, console=silent_console(),
    )  # fmt: skip
