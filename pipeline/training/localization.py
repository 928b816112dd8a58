"""The task of audio-visual event localization, weakly or fully supervised: its labels, loss and scores."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

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
from pipeline.recipes.recipe import Recipe
from pipeline.training.localization_losses import EventTargets, localization_loss
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
        """See :func:`pipeline.training.localization_losses.localization_loss`."""
        if batch.segments is None:
            raise InvalidInput("localization: these labels have no class for each segment. Give those of AVE's format")
        targets = EventTargets(batch.weak.to(device), batch.segments.to(device))
        return localization_loss(output, targets, recipe.localization)

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
