"""VALOR's encoder: a real stack of HAN's layers, audio first."""

from __future__ import annotations

from torch import nn

from pipeline.models.encoders.han import HybridAttentionLayer, Norm
from pipeline.models.paired_layers import start_alike
from pipeline.models.predictions import Encoded


class VALOREncoder(nn.Module):
    """Layers shared by both streams. In each, audio is updated first, and the visual stream attends to the new audio.

    HAN lets both look at the streams from before the layer; VALOR's published code does not.

    Args:
        dim: of a segment.
        layers: 1 for VALOR, 4 for VALOR+ and VALOR++.
        heads: of either attention.
        feed_forward: hidden width.
        dropout: everywhere.
        norm: ``post`` as in the published runs, or ``pre``, which ends with a layer norm a stream.

    Source: VALOR (Lai et al., NeurIPS 2023, https://arxiv.org/abs/2305.17343) and its published code.
    """

    def __init__(
        self,
        dim: int,
        *,
        layers: int = 4,
        heads: int = 8,
        feed_forward: int = 1024,
        dropout: float = 0.1,
        norm: Norm = "post",
    ) -> None:
        super().__init__()
        if layers < 1:
            raise ValueError(f"{layers} layers: expected at least 1")
        self.layers = nn.ModuleList(
            HybridAttentionLayer(dim, heads=heads, feed_forward=feed_forward, dropout=dropout, norm=norm)
            for _ in range(layers)
        )
        start_alike(list(self.layers))
        self.audio_norm: nn.Module = nn.LayerNorm(dim) if norm == "pre" else nn.Identity()
        self.visual_norm: nn.Module = nn.LayerNorm(dim) if norm == "pre" else nn.Identity()

    def forward(self, streams: Encoded) -> Encoded:
        """Encode; streams are ``[clips, segments, dim]`` before and after."""
        audio, visual = streams
        for layer in self.layers:
            audio = layer(audio, visual)
            visual = layer(visual, audio)
        return Encoded(self.audio_norm(audio), self.visual_norm(visual))
