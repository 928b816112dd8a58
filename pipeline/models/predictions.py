"""Outputs of encoders and models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, Self, get_args, runtime_checkable

import torch
from torch import Tensor

UnionRule = Literal["hard", "max", "noisy_or"]


class Encoded(NamedTuple):
    """Features of the two streams.

    Attributes:
        audio: ``[clips, segments, dim]``.
        visual: ``[clips, segments, dim]``.
    """

    audio: Tensor
    visual: Tensor

    def joined(self) -> Tensor:
        """Audio and then visual, one batch ``[2 * clips, segments, dim]``, for a layer that serves both at once."""
        return torch.cat([self.audio, self.visual])

    def joined_partners(self) -> Tensor:
        """As :meth:`joined`, each clip's other stream in its place."""
        return torch.cat([self.visual, self.audio])

    @classmethod
    def parted(cls, joined: Tensor) -> Self:
        """Inverse of :meth:`joined`."""
        audio, visual = joined.chunk(2)
        return cls(audio, visual)


class CoOccurrence(NamedTuple):
    """Attention maps between classes in the last layer; the first letter is the query, the second the key.

    Each is ``[clips, segments, classes, classes]``, rows add up to 1 (attention dropout aside); ``None`` where the
    layer has no such attention.
    """

    audio_audio: Tensor | None
    audio_visual: Tensor | None
    visual_visual: Tensor | None
    visual_audio: Tensor | None


@dataclass(frozen=True, eq=False)
class MMCSEAuxiliary:
    """Outputs of MM-CSE that only its losses use.

    Attributes:
        inputs: features that the decouplers read, ``[clips, segments, dim]``.
        decoupled: ``[clips, segments, vectors, class_dim]`` a stream: one vector a class, and the background last.
        co_occurrence: attention maps between classes.
        reconstructed: like ``inputs``; ``None`` where the model has no reconstruction decoders.
        background: whether the last vector is the background.
    """

    inputs: Encoded
    decoupled: Encoded
    co_occurrence: CoOccurrence
    reconstructed: Encoded | None = None
    background: bool = True


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions of a model for a batch. The first five are probabilities.

    Attributes:
        audio_segment: ``[clips, segments, classes]``.
        visual_segment: ``[clips, segments, classes]``.
        audio_video: ``[clips, classes]``.
        visual_video: ``[clips, classes]``.
        union_video: ``[clips, classes]``. With an MMIL head the published "global" probability, which may exceed 1:
            clamp it before a cross-entropy.
        audio_logits: of ``audio_segment``.
        visual_logits: of ``visual_segment``.
        features: the encoder's output; ``None`` for MM-CSE.
        label_features: LEAP: label embeddings after the decoder, ``[clips, classes, dim]`` a modality.
        attention: LEAP: scaled scores of labels against segments, ``[clips, heads, classes, segments]`` a modality.
        auxiliary: MM-CSE only.
    """

    audio_segment: Tensor
    visual_segment: Tensor
    audio_video: Tensor
    visual_video: Tensor
    union_video: Tensor
    audio_logits: Tensor
    visual_logits: Tensor
    features: Encoded | None = None
    label_features: Encoded | None = None
    attention: Encoded | None = None
    auxiliary: MMCSEAuxiliary | None = None


@runtime_checkable
class Model(Protocol):
    """Any model of this package, as the trainer calls it."""

    def __call__(
        self, *, audio: Tensor, visual_2d: Tensor, visual_3d: Tensor, labels: Tensor | None = None
    ) -> Predictions:
        """Parse a batch; see :class:`pipeline.models.parser.Parser`."""
        ...


def union_probability(audio: Tensor, visual: Tensor, *, rule: UnionRule) -> Tensor:
    """Probability that a class occurs in either modality.

    Args:
        audio: ``[clips, classes]`` probabilities.
        visual: the same shape.
        rule: ``hard``: 1 where either is at least 0.5, else 0, as published (no gradient). ``max``: the larger.
            ``noisy_or``: ``1 - (1 - audio)(1 - visual)``, which has a gradient and equals ``hard`` on 0 and 1.

    Source: LEAP (Zhou et al., ECCV 2024), equation 8.
    """
    if rule == "max":
        return torch.maximum(audio, visual)
    if rule == "noisy_or":
        return audio + visual - audio * visual
    if rule == "hard":
        return torch.logical_or(audio >= 0.5, visual >= 0.5).to(audio.dtype)
    raise ValueError(f"rule {rule!r}: expected one of {', '.join(get_args(UnionRule))}")
