"""Losses of event localization: from the label of a video alone, and from the class of every segment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    mse_loss,
    multilabel_soft_margin_loss,
    one_hot,
)

from pipeline.models.localizers.localization import Localized
from pipeline.recipes.localization_recipe import LocalizationRecipe
from pipeline.training.losses import bce
from storage.errors import InvalidInput

_EPS = 1e-8
_NO_EVENT = -1


@dataclass(frozen=True, eq=False)
class EventTargets:
    """Labels of a batch.

    Attributes:
        weak: ``[clips, classes]``, 1 for a video's category, or the share of each class.
        segments: ``[clips, segments]`` int64, the class of each; the last class is the background.
    """

    weak: Tensor
    segments: Tensor

    @property
    def background(self) -> int:
        """Index of the background."""
        return self.weak.shape[1] - 1

    @property
    def happens(self) -> Tensor:
        """``[clips, segments]`` bool: where there is an event."""
        return self.segments != self.background

    @property
    def categories(self) -> Tensor:
        """``[clips]`` int64: class of the event; -1 in a clip without one."""
        return torch.where(self.happens, self.segments, _NO_EVENT).amax(dim=1)


def localization_loss(
    output: Localized, targets: EventTargets, recipe: LocalizationRecipe
) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum of a recipe's terms.

    Args:
        output: of a batch.
        targets: of the same.
        recipe: weights and form.

    Returns:
        The sum, and each term before its weight (detached).

    Raises:
        InvalidInput: If a term needs what the model does not give, or there is no term.

    Source: the published training of AVE and CMBS (``soft_margin``) and PSP (``cross_entropy``), weakly supervised; of
    AVE and DMRN (``segment``, ``soft_margin``), PSP (``segment``, ``categorical``, and ``similarity``) and CMBS
    (``event``, ``gate``, ``categories`` and ``stream_categories``), fully supervised. That LEAP's video probabilities
    get the method's own loss too is our reading: :mod:`pipeline.models.localizers.scorers`.
    """
    form = _FORMS[recipe.form]
    parts: dict[str, Callable[[], Tensor]] = {
        "pooled": lambda: form(output.pooled, targets.weak),
        "video": lambda: form(_needed(output.video, "video", "LEAP gives probabilities of the video"), targets.weak),
        "segment": lambda: _of_segments(output.segment, targets, recipe.form),
        "similarity": lambda: _similarity(_needed(output.similarity, "similarity", _PSP), targets),
        "event": lambda: _of_event(_needed(output.event_scores, "event", _CMBS), targets),
        "gate": lambda: _of_event(_needed(output.gate, "gate", _CMBS), targets),
        "categories": lambda: _of_category(_needed(output.categories, "categories", _CMBS), targets),
        "stream_categories": lambda: _of_category(
            _needed(output.stream_categories, "stream_categories", _CMBS), targets
        ),
    }
    terms = {name: part() for name, part in parts.items() if getattr(recipe, name)}
    if not terms:
        raise InvalidInput("localization: every weight is 0, there is nothing to train on")
    total = torch.stack([getattr(recipe, name) * value for name, value in terms.items()]).sum()
    return total, {name: value.detach() for name, value in terms.items()}


_PSP = "psp-supervised compares its two modalities"
_CMBS = "cmbs-supervised scores events and categories"


def _needed(part: Tensor | None, term: str, who: str) -> Tensor:
    if part is None:
        raise InvalidInput(f"localization.{term}: only {who}. Set it to 0")
    return part


def _soft_margin(probability: Tensor, target: Tensor) -> Tensor:
    """Torch's multi-label soft margin, which takes a sigmoid of what is a probability already, as published."""
    return multilabel_soft_margin_loss(probability.float(), target)


def _categorical(probability: Tensor, target: Tensor) -> Tensor:
    return -(target * probability.float().clamp_min(_EPS).log()).sum(dim=-1).mean()


_FORMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "soft_margin": _soft_margin, "cross_entropy": bce, "categorical": _categorical,
}  # fmt: skip


def _of_segments(scores: Tensor, targets: EventTargets, form: str) -> Tensor:
    """The class of every segment against its scores."""
    if form == "categorical":
        return cross_entropy(scores.flatten(0, 1).float(), targets.segments.flatten())
    truth = one_hot(targets.segments, scores.shape[-1]).to(torch.float32)
    return _FORMS[form](scores.softmax(dim=-1), truth)


def _similarity(cosine: Tensor, targets: EventTargets) -> Tensor:
    """Squared error of each segment's share of the clip's similarity against equal shares for its event.

    A clip without an event has equal shares of all segments. The published code writes the shares into an array that
    it never clears, so that from the second batch on, rows hold shares of earlier clips too; ours do not.
    """
    positive = cosine.relu()
    shares = positive / (positive.sum(dim=-1, keepdim=True) + _EPS)
    where = targets.happens | ~targets.happens.any(dim=1, keepdim=True)
    return mse_loss(shares.float(), where / where.sum(dim=1, keepdim=True))


def _of_event(scores: Tensor, targets: EventTargets) -> Tensor:
    """Whether a segment has an event. The gate is a probability, of which this takes a sigmoid again, as published."""
    return binary_cross_entropy_with_logits(scores.float(), targets.happens.to(torch.float32))


def _of_category(scores: Tensor, targets: EventTargets) -> Tensor:
    """The class of the video's event. A clip without one does not count; the published code takes it for class 0."""
    categories = targets.categories
    every = cross_entropy(scores.float(), categories, ignore_index=_NO_EVENT, reduction="sum")
    return every / (categories != _NO_EVENT).sum().clamp_min(1)
