"""The interface between the training loop and a task: labels, losses and scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.datasets.clip_labels import ClipLabels
from pipeline.datasets.dataset import Batch
from pipeline.metrics.bootstrap import Interval
from pipeline.recipes.recipe import Recipe

Found = Mapping[str, NDArray[np.float32]]
"""Predictions for a set of clips, by name of :attr:`Task.parts`."""


class Task(Protocol):
    """A task that a recipe trains for.

    Attributes:
        dataset: name of the default dataset description.
        parts: names of the model outputs that the scores use, ``[clips, ...]`` each.
        headings: headings of a score table, by name of the score.
    """

    dataset: str
    parts: tuple[str, ...]
    headings: Mapping[str, str]

    def load_labels(self, folder: str, *, dataset: str) -> ClipLabels:
        """The labels of all splits.

        Raises:
            InvalidInput: If the folder holds none, or they are malformed.
        """
        ...

    def training_labels(self, labels: Any, recipe: Recipe) -> Any:
        """The labels with ``weak`` as the recipe wants it for training."""
        ...

    def loss(self, output: Any, batch: Batch, recipe: Recipe, device: torch.device) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch, and each term before its weight (detached).

        Raises:
            InvalidInput: If a term needs what the model or the batch lacks.
        """
        ...

    def scores(self, found: Found, labels: Any, recipe: Recipe) -> dict[str, float]:
        """Scores in percent; the recipe's ``train.select`` is one of their names.

        Raises:
            InvalidInput: If a prediction is NaN.
        """
        ...

    def intervals(self, found: Found, labels: Any, recipe: Recipe) -> dict[str, Interval]:
        """95 % intervals of the scores that have one, by bootstrap over videos."""
        ...

    def baselines(self, labels: Any) -> dict[str, dict[str, float]]:
        """Scores of predictions that use no features, by their name."""
        ...

    def headline(self, scores: Mapping[str, float]) -> str:
        """The scores in a few words."""
        ...
