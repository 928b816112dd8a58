"""Audio-visual video parsing as a task: which classes are heard, and which are seen, second by second."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from pipeline.datasets.dataset import Batch
from pipeline.datasets.llp import Annotations, load_annotations
from pipeline.metrics.bootstrap import Interval, bootstrap_intervals
from pipeline.metrics.decisions import decide
from pipeline.metrics.parsing import HEADINGS, VideoScores, nothing_predicted, video_scores
from pipeline.models.predictions import Predictions
from pipeline.recipes.recipe import Recipe
from pipeline.training.losses import Targets, compute_loss
from pipeline.training.task import Found


class Parsing:
    """See :class:`pipeline.training.task.Task`."""

    dataset = "llp"
    parts: tuple[str, ...] = ("audio_segment", "visual_segment", "union_video", "audio_video", "visual_video")
    headings = HEADINGS

    def load_labels(self, folder: str, *, dataset: str) -> Annotations:
        """Weak labels of every clip, and the truth of both modalities where it is known."""
        return load_annotations(folder, dataset=dataset)

    def training_labels(self, labels: Annotations, recipe: Recipe) -> Annotations:
        """As they are."""
        return labels

    def loss(
        self, output: Predictions, batch: Batch, recipe: Recipe, device: torch.device
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See :func:`pipeline.training.losses.compute_loss`."""
        pseudo = [None if kind is None else kind.to(device) for kind in (batch.audio, batch.visual)]
        return compute_loss(output, Targets(batch.weak.to(device), *pseudo), recipe.loss)

    def scores(self, found: Found, labels: Annotations, recipe: Recipe) -> dict[str, float]:
        """The ten published scores and their average."""
        return _by_video(found, labels, recipe).mean().as_dict()

    def intervals(self, found: Found, labels: Annotations, recipe: Recipe) -> dict[str, Interval]:
        """Of all scores."""
        return bootstrap_intervals(_by_video(found, labels, recipe))

    def baselines(self, labels: Annotations) -> dict[str, dict[str, float]]:
        """No event at all."""
        return {"nothing predicted": nothing_predicted(labels.audio, labels.visual).as_dict()}

    def headline(self, scores: Mapping[str, float]) -> str:
        """The two that papers choose by."""
        return f"Type@AV {scores['seg_type']:.2f}, Event@AV {scores['seg_event']:.2f}"


def _by_video(found: Found, labels: Annotations, recipe: Recipe) -> VideoScores:
    decided = decide(**found, mask=recipe.evaluate.mask, threshold=recipe.evaluate.threshold)
    return video_scores(*decided, labels.audio, labels.visual)
