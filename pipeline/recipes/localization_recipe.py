"""The losses of a localization recipe."""

from __future__ import annotations

from typing import Literal

from pydantic.dataclasses import dataclass

from pipeline.toml_tables import FORBID_EXTRA, Amount


@dataclass(frozen=True, config=FORBID_EXTRA)
class LocalizationRecipe:
    """Losses of localization: the weight of each term, 0 for none.

    The first two know the label of the video alone; the others know the class of every segment. See
    :mod:`pipeline.training.localization_losses`.

    Attributes:
        pooled: weight of the loss of video probabilities pooled from segments.
        video: weight of the loss of video probabilities from LEAP's label embeddings.
        segment: weight of the loss of each segment's class.
        similarity: weight of PSP's loss on the similarity of sound and picture.
        event: weight of the cross-entropy of CMBS's event scores.
        gate: weight of the same for its gate.
        categories: weight of the cross-entropy of CMBS's class of the video.
        stream_categories: weight of the same for the class scores of each modality.
        form: of the first three: ``soft_margin`` (AVE, DMRN, CMBS), binary ``cross_entropy`` (PSP, weakly supervised),
            both on probabilities, or the ``categorical`` cross-entropy (PSP, fully supervised).
        targets: the ``category`` of the video, or the ``shares`` of its segments per class, which tell more.
    """

    pooled: Amount = 1.0
    video: Amount = 0.0
    segment: Amount = 0.0
    similarity: Amount = 0.0
    event: Amount = 0.0
    gate: Amount = 0.0
    categories: Amount = 0.0
    stream_categories: Amount = 0.0
    form: Literal["soft_margin", "cross_entropy", "categorical"] = "soft_margin"
    targets: Literal["category", "shares"] = "category"
