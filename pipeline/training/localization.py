"""Audio-visual event localization as a task: which event is heard and seen, second by second, from a video's label."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import multilabel_soft_margin_loss

from pipeline.datasets.ave import EventLabels, load_events
from pipeline.datasets.dataset import Batch
from pipeline.metrics.bootstrap import Interval, mean_intervals
from pipeline.metrics.localization import (
    HEADINGS,
    Labels,
    baselines,
    localization_scores,
    segment_classes,
    video_accuracy,
)
from pipeline.models.localizers.localization import Localized
from pipeline.recipes.recipe import LocalizationRecipe, Recipe
from pipeline.training.losses import bce
from pipeline.training.task import Found
from storage.errors import InvalidInput


class Localization:
    """See :class:`pipeline.training.task.Task`."""

    dataset = "ave"
    parts: tuple[str, ...] = ("segment", "event")
    headings = HEADINGS

    def load_labels(self, folder: str, *, dataset: str) -> EventLabels:
        """The class of every segment, and the category of every video."""
        return load_events(folder, dataset=dataset)

    def training_labels(self, labels: EventLabels, recipe: Recipe) -> EventLabels:
        """The category alone, or each class's share of the segments."""
        return labels.with_shares() if recipe.localization.targets == "shares" else labels

    def loss(
        self, output: Localized, batch: Batch, recipe: Recipe, device: torch.device
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See :func:`weak_loss`."""
        return weak_loss(output, batch.weak.to(device), recipe.localization)

    def scores(self, found: Found, labels: EventLabels, recipe: Recipe) -> dict[str, float]:
        """Segment accuracy, of all segments, of those with an event and of those without."""
        classes = _classes(found, recipe)
        return localization_scores(classes, labels.segments, background=labels.background).as_dict()

    def intervals(self, found: Found, labels: EventLabels, recipe: Recipe) -> dict[str, Interval]:
        """Of the accuracy."""
        accuracy = video_accuracy(_classes(found, recipe), labels.segments)
        return mean_intervals(accuracy[:, None], ("accuracy",))

    def baselines(self, labels: EventLabels) -> dict[str, dict[str, float]]:
        """See :func:`pipeline.metrics.localization.baselines`."""
        found = baselines(labels.segments, labels.weak.argmax(axis=1), background=labels.background)
        return {name: scores.as_dict() for name, scores in found.items()}

    def headline(self, scores: Mapping[str, float]) -> str:
        """The accuracy."""
        return f"accuracy {scores['accuracy']:.2f}"


def _classes(found: Found, recipe: Recipe) -> Labels:
    if bad := [name for name, values in found.items() if np.isnan(values).any()]:
        raise InvalidInput(f"{bad[0]}: {int(np.isnan(found[bad[0]]).sum())} values are NaN")
    return segment_classes(found["segment"], found.get("event"), threshold=recipe.evaluate.threshold)


def weak_loss(output: Localized, weak: Tensor, recipe: LocalizationRecipe) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum of a recipe's terms, each against the label of the video.

    Args:
        output: of a batch.
        weak: ``[clips, classes]``, 1 for a video's category, or the share of each class.
        recipe: weights and form.

    Returns:
        The sum, and each term before its weight (detached).

    Raises:
        InvalidInput: If a term needs what the model does not give, or there is no term.

    Source: the published weakly supervised training of AVE and CMBS (``soft_margin``) and PSP (``cross_entropy``). That
    LEAP's video probabilities get the method's own loss too is our reading: :mod:`pipeline.models.localizers.scorers`.
    """
    form: Callable[[Tensor, Tensor], Tensor] = _soft_margin if recipe.form == "soft_margin" else bce
    terms: dict[str, Tensor] = {}
    if recipe.pooled:
        terms["pooled"] = form(output.pooled, weak)
    if recipe.video:
        if output.video is None:
            raise InvalidInput("localization.video: only LEAP gives probabilities of the video. Set it to 0")
        terms["video"] = form(output.video, weak)
    if not terms:
        raise InvalidInput("localization: every weight is 0, there is nothing to train on")
    total = torch.stack([getattr(recipe, name) * value for name, value in terms.items()]).sum()
    return total, {name: value.detach() for name, value in terms.items()}


def _soft_margin(probability: Tensor, target: Tensor) -> Tensor:
    """Torch's multi-label soft margin, which takes a sigmoid of what is a probability already, as published."""
    return multilabel_soft_margin_loss(probability.float(), target)
