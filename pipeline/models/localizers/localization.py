"""The localizer of audio-visual events: an encoder, a scorer and a pooling, and the data between them.

An encoder fuses audio and a grid of visual features into one feature per segment. A scorer gives each segment a score
per class, background included. A pooling turns the scores into the probabilities of the video, for the weak label, and
of the segments. Encoder and pooling belong to a published method; the scorer is the method's own or LEAP's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from torch import Tensor, nn

from pipeline.models.input_projection import segment_mean


class Fused(NamedTuple):
    """Output of an encoder that fuses both modalities.

    Attributes:
        segments: ``[clips, segments, dim]``.
        gate: ``[clips, segments]`` probability of an event in a segment; ``None`` where the method has no such.
        class_gate: ``[clips, segments, classes]`` factors of the class scores; ``None`` likewise.
        similarity: ``[clips, segments]`` cosine of the two modalities; PSP's supervised encoder only.
        event_scores: ``[clips, segments]``, unbounded: of an event in a segment; CMBS's supervised encoder only.
        stream_categories: ``[clips, events]``, unbounded: of the video's class without the background, from each
            modality before they are fused; likewise.
    """

    segments: Tensor
    gate: Tensor | None = None
    class_gate: Tensor | None = None
    similarity: Tensor | None = None
    event_scores: Tensor | None = None
    stream_categories: Tensor | None = None


class Scored(NamedTuple):
    """Output of a scorer.

    Attributes:
        segments: ``[clips, segments, classes]``, unbounded; one segment where a clip is scored as a whole.
        video: ``[clips, classes]``, unbounded; LEAP only: from the label embeddings.
        attention: LEAP: scaled scores of labels against segments, ``[clips, heads, classes, segments]``.
        label_features: LEAP: label embeddings after the blocks, ``[clips, classes, dim]``.
    """

    segments: Tensor
    video: Tensor | None = None
    attention: Tensor | None = None
    label_features: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Localized:
    """Predictions of a localizer for a batch.

    Attributes:
        segment: ``[clips, segments, classes]`` scores; a segment's class is the largest.
        event: ``[clips, segments]`` probability of an event: below a threshold a segment is background whatever its
            scores; ``None`` where the background competes with the classes alone.
        pooled: ``[clips, classes]`` probabilities of the video, made of its segments; they add up to 1.
        video: ``[clips, classes]`` probabilities of the video, made of the label embeddings; they add up to 1.
            ``None`` where the scorer is not LEAP's.
        attention: see :class:`Scored`.
        label_features: see :class:`Scored`.
        similarity: see :class:`Fused`.
        event_scores: likewise.
        gate: ``[clips, segments]``: a second probability of an event that a loss judges; ``None`` where there is none.
        categories: ``[clips, events]``, unbounded: of the video's class without the background; likewise.
        stream_categories: see :class:`Fused`.
    """

    segment: Tensor
    event: Tensor | None
    pooled: Tensor
    video: Tensor | None = None
    attention: Tensor | None = None
    label_features: Tensor | None = None
    similarity: Tensor | None = None
    event_scores: Tensor | None = None
    gate: Tensor | None = None
    categories: Tensor | None = None
    stream_categories: Tensor | None = None


class Localizer(nn.Module):
    """An encoder, a scorer and a pooling.

    Args:
        encoder: audio ``[clips, segments, audio_dim]`` and grids ``[clips, segments, positions, channels]`` to
            :class:`Fused`.
        scorer: segments and label embeddings to :class:`Scored`.
        pooling: :class:`Scored` and :class:`Fused` to :class:`Localized`.
        segments: of a clip.
        positions: of a grid, e.g. 49.
        channels: of a position, e.g. 512.
    """

    def __init__(
        self, encoder: nn.Module, scorer: nn.Module, pooling: nn.Module, *, segments: int, positions: int, channels: int
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.scorer = scorer
        self.pooling = pooling
        self.segments = segments
        self.positions = positions
        self.channels = channels

    def forward(self, *, audio: Tensor, visual_2d: Tensor, labels: Tensor | None = None) -> Localized:
        """Localize the events of a batch.

        Args:
            audio: ``[clips, steps, audio_dim]``, any whole number of steps a segment.
            visual_2d: ``[clips, steps, positions * channels]``, the channels of a position together.
            labels: text embeddings ``[classes, label_dim]``; LEAP only.

        Raises:
            ValueError: If a shape does not fit.
        """
        if visual_2d.ndim != 3 or visual_2d.shape[2] != self.positions * self.channels:
            expected = f"[clips, steps, {self.positions} * {self.channels}]"
            raise ValueError(f"visual_2d: shape is {list(visual_2d.shape)}, expected {expected}")
        grid = segment_mean(visual_2d, self.segments).unflatten(2, (self.positions, self.channels))
        fused: Fused = self.encoder(segment_mean(audio, self.segments), grid)
        scored: Scored = self.scorer(fused.segments, labels)
        localized: Localized = self.pooling(scored.segments, fused)
        video = None if scored.video is None else scored.video.softmax(dim=-1)
        return replace(
            localized, video=video, attention=scored.attention, label_features=scored.label_features,
            similarity=fused.similarity,
        )  # fmt: skip
