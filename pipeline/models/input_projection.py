"""Projects backbone features to an audio and a visual stream of the same width."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.models.predictions import Encoded

CLAP_GRID = (2, 32)
"""Frequency bins and times of HTSAT's last feature map."""
_UPSAMPLED = 1024


class InputProjection(nn.Module):
    """Linear layers that project each backbone to one width and fuse the two visual backbones.

    Nothing here is nonlinear, so features are averaged over the segments first and projected after, where the
    published code projects all steps and averages after: the same numbers for a fraction of the work.

    Args:
        width: of the streams.
        segments: of a clip.
        audio_dim: of a step.
        visual_2d_dim: of a step.
        visual_3d_dim: of a step.
        audio_grid: ``(bins, times)`` of the audio feature map; ``None`` where audio comes by segments only.

    Source: HAN (Tian et al., ECCV 2020, https://arxiv.org/abs/2007.10558), and its published code;
    for the CLAP map, VALOR's (Lai et al., NeurIPS 2023, https://arxiv.org/abs/2305.17343).
    """

    pooling: Tensor | None

    def __init__(
        self,
        width: int,
        *,
        segments: int = 10,
        audio_dim: int = 128,
        visual_2d_dim: int = 2048,
        visual_3d_dim: int = 512,
        audio_grid: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.segments = segments
        self.audio = nn.Linear(audio_dim, width)
        self.visual_2d = nn.Linear(visual_2d_dim, width)
        self.visual_3d = nn.Linear(visual_3d_dim, width)
        self.fusion = nn.Linear(2 * width, width)
        pooling = None if audio_grid is None else grid_pooling(*audio_grid, segments)
        self.register_buffer("pooling", pooling, persistent=False)

    def forward(self, audio: Tensor, visual_2d: Tensor, visual_3d: Tensor) -> Encoded:
        """Project and fuse.

        Args:
            audio: ``[clips, segments, audio_dim]``, several steps a segment, or, with ``audio_grid``, the map
                ``[clips, bins * times, audio_dim]``.
            visual_2d: ``[clips, segments, visual_2d_dim]``, or several steps a segment, e.g. 80.
            visual_3d: ``[clips, segments, visual_3d_dim]``, or several steps a segment.

        Raises:
            ValueError: If steps do not fill the segments, or a dim is not this network's.
        """
        heard = self.audio(self._audio_segments(_checked(audio, "audio", self.audio)))
        frames = self.visual_2d(segment_mean(_checked(visual_2d, "visual_2d", self.visual_2d), self.segments))
        motion = self.visual_3d(segment_mean(_checked(visual_3d, "visual_3d", self.visual_3d), self.segments))
        return Encoded(heard, self.fusion(torch.cat([frames, motion], dim=-1)))

    def _audio_segments(self, audio: Tensor) -> Tensor:
        if self.pooling is not None and audio.shape[1] == self.pooling.shape[1]:
            return torch.matmul(self.pooling.to(audio.dtype), audio)
        return segment_mean(audio, self.segments)


def segment_mean(features: Tensor, segments: int) -> Tensor:
    """Average steps over segments.

    Args:
        features: ``[clips, steps, dim]``, steps evenly spaced in time.
        segments: of a clip.

    Returns:
        ``[clips, segments, dim]``, same dtype.

    Raises:
        ValueError: If the steps do not fill whole segments.
    """
    steps = features.shape[1]
    if steps == segments:
        return features
    if steps < segments or steps % segments:
        raise ValueError(f"{steps} steps do not fill {segments} whole segments")
    return torch.unflatten(features, 1, (segments, steps // segments)).mean(dim=2)


def grid_pooling(bins: int, times: int, segments: int) -> Tensor:
    """The matrix ``[segments, bins * times]`` that turns a CLAP feature map into segments.

    The published code stretches the map to 1024 times by bicubic interpolation, averages over the frequency bins
    and pools the times adaptively. All of it is linear, so it is one matrix; it is found by sending the identity
    through. Steps of the map are numbered ``bin * times + time``.
    """
    identity = torch.eye(times, dtype=torch.float64).view(times, 1, 1, times)
    stretched = functional.interpolate(identity, size=(1, _UPSAMPLED), mode="bicubic").view(times, 1, _UPSAMPLED)
    pooled = functional.adaptive_avg_pool1d(stretched, segments).view(times, segments).T
    return (pooled / bins).repeat(1, bins).float()


def _checked(features: Tensor, name: str, linear: nn.Linear) -> Tensor:
    if features.ndim != 3 or features.shape[2] != linear.in_features:
        raise ValueError(f"{name}: shape is {list(features.shape)}, expected [clips, steps, {linear.in_features}]")
    return features
