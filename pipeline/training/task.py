"""What kind of problem a recipe is about: its labels, losses and scores. The loop knows no more of it than this."""

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
"""What a model says of a set of clips, by name of :attr:`Task.parts`."""


class Task(Protocol):
    """A kind of problem.

    Attributes:
        dataset: the description that is taken where none is named.
        parts: names of a model's outputs that scores are made of, ``[clips, ...]`` each.
        headings: of a table of scores, by name of the score.
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
        """The same labels, with what a recipe lets training know of a video in ``weak``."""
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
        """Scores of what predicts without looking, by its name."""
        ...

    def headline(self, scores: Mapping[str, float]) -> str:
        """The scores in a few words."""
        ...
