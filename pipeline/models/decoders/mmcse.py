"""The MM-CSE network, from the input projection to the predictions."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from pipeline.models.decoders.class_decoupling import BackgroundFusion, ClassHeads, Decoupler
from pipeline.models.decoders.class_enhancement import EnhancementLayer, Variant
from pipeline.models.decoders.mmil import pool
from pipeline.models.input_projection import InputProjection
from pipeline.models.paired_layers import start_alike
from pipeline.models.predictions import CoOccurrence, Encoded, MMCSEAuxiliary, Predictions


class Reconstructor(nn.Sequential):
    """Class vectors back to a segment's features: ``[..., vectors * class_dim]`` to ``[..., dim]``."""

    def __init__(self, vectors: int, class_dim: int, dim: int) -> None:
        super().__init__(nn.Linear(vectors * class_dim, dim), nn.ReLU(), nn.Linear(dim, dim), nn.ReLU())


class MMCSE(nn.Module):
    """The multimodal class-aware semantic enhancement network.

    Args:
        input_projection: backbone features to streams of width ``dim``.
        dim: of a segment.
        class_dim: of a class vector.
        classes: how many.
        layers: of FGSE.
        heads: of its attentions.
        feed_forward: its hidden width.
        dropout: everywhere.
        reconstruct: whether to build the two decoders that the reconstruction loss needs.
        secm: ``published`` or ``paper``; see :class:`EnhancementLayer`.
        lgsf: ``published`` or ``paper``; see :class:`EnhancementLayer`.

    Source: MM-CSE (Zhao et al., AAAI 2025, https://arxiv.org/abs/2412.11248) and its published code.
    """

    def __init__(
        self,
        input_projection: InputProjection,
        dim: int,
        *,
        class_dim: int = 128,
        classes: int = 25,
        layers: int = 4,
        heads: int = 8,
        feed_forward: int = 512,
        dropout: float = 0.1,
        reconstruct: bool = True,
        secm: Variant = "published",
        lgsf: Variant = "published",
    ) -> None:
        super().__init__()
        if layers < 1:
            raise ValueError(f"{layers} layers: expected at least 1")
        vectors = classes + 1
        self.input_projection = input_projection
        self.audio_decoupler, self.visual_decoupler = (
            Decoupler(dim, class_dim=class_dim, vectors=vectors, deep=deep, dropout=dropout) for deep in (False, True)
        )
        self.audio_background, self.visual_background = (
            BackgroundFusion(dim, class_dim=class_dim, dropout=dropout) for _ in range(2)
        )
        self.audio_reconstructor, self.visual_reconstructor = (
            Reconstructor(vectors, class_dim, dim) if reconstruct else None for _ in range(2)
        )
        self.layers = nn.ModuleList(
            EnhancementLayer(class_dim, heads=heads, feed_forward=feed_forward, dropout=dropout, secm=secm, lgsf=lgsf)
            for _ in range(layers)
        )
        start_alike(list(self.layers))
        self.heads = ClassHeads(class_dim, classes=classes, heads=3)

    def forward(
        self, *, audio: Tensor, visual_2d: Tensor, visual_3d: Tensor, labels: Tensor | None = None
    ) -> Predictions:
        """Parse a batch; arguments as for :class:`pipeline.models.parser.Parser`, ``labels`` are not used."""
        inputs = self.input_projection(audio, visual_2d, visual_3d)
        decoupled = Encoded(self.audio_decoupler(inputs.audio), self.visual_decoupler(inputs.visual))
        fused = Encoded(
            self.audio_background(inputs.audio, decoupled.audio),
            self.visual_background(inputs.visual, decoupled.visual),
        )
        classes, maps = self._enhance(fused)
        logits, time, modality = self.heads(torch.stack(classes, dim=2)).unbind(dim=-2)
        auxiliary = MMCSEAuxiliary(inputs, decoupled, maps, self._reconstruct(decoupled))
        return replace(pool(logits, time, modality), auxiliary=auxiliary)

    def _enhance(self, streams: Encoded) -> tuple[Encoded, CoOccurrence]:
        """Class vectors after all layers, and the last layer's maps; a stream attends to the other's previous state."""
        for layer in self.layers:
            found = layer(streams.joined(), streams.joined_partners())
            streams = Encoded.parted(found.classes)
        within, across = Encoded.parted(found.within), Encoded.parted(found.across)
        return streams, CoOccurrence(within.audio, across.audio, within.visual, across.visual)

    def _reconstruct(self, decoupled: Encoded) -> Encoded | None:
        if self.audio_reconstructor is None or self.visual_reconstructor is None:
            return None
        return Encoded(
            self.audio_reconstructor(decoupled.audio.flatten(2)), self.visual_reconstructor(decoupled.visual.flatten(2))
        )
