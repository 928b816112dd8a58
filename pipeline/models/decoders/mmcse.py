"""The MM-CSE network, from the input projection to the predictions."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from pipeline.models.decoders.class_decoupling import BackgroundFusion, ClassHeads, Decoupler, Decoupling, vector_count
from pipeline.models.decoders.class_enhancement import EnhancementLayer, PathParts, Variant
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
        decoupling: the vectors of a segment. ``classes_and_background``: one a class and one for the background,
            which :class:`BackgroundFusion` adds to each, as published. ``classes``: no background, so FGSE reads the
            class vectors as they are. ``none``: one vector, from a decoupler of the same shape, stands for all
            classes, and only the heads tell them apart; the same numbers as a copy of it for each class. SECM then
            has one vector to attend to, and no map between classes.
        intra: parts of FGSE's path within a stream; see :class:`EnhancementLayer`.
        cross: parts of its path across the streams.
        encoder: :class:`Encoded` to :class:`Encoded` before the decouplers, as in the paper's table 7; its code is not
            public, so where the encoder stands is our reading. ``None`` in the published code.

    ``classes``, ``none``, and paths with fewer parts are for the paper's ablations (tables 2, 3, 8 and 9). The code of
    these is not public: what is computed then is our reading.

    Raises:
        ValueError: If a choice is unknown, or the choices do not fit each other.

    Source: MM-CSE (Zhao et al., AAAI 2025, https://arxiv.org/abs/2412.11248) and its published code.
    """

    def __init__(
        self, input_projection: InputProjection, dim: int, *, class_dim: int = 128, classes: int = 25, layers: int = 4,
        heads: int = 8, feed_forward: int = 512, dropout: float = 0.1, reconstruct: bool = True,
        secm: Variant = "published", lgsf: Variant = "published", decoupling: Decoupling = "classes_and_background",
        intra: PathParts = "secm_and_lgsf", cross: PathParts = "secm_and_lgsf", encoder: nn.Module | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if layers < 1:
            raise ValueError(f"{layers} layers: expected at least 1")
        if decoupling == "none" and reconstruct:
            raise ValueError(
                "reconstruct: decoupling none leaves no class vectors to reconstruct from. Set it to false"
            )
        vectors = vector_count(decoupling, classes=classes)
        self.classes, self.has_maps = classes, decoupling != "none"
        self.input_projection, self.encoder = input_projection, encoder
        self.audio_decoupler, self.visual_decoupler = (
            Decoupler(dim, class_dim=class_dim, vectors=vectors, deep=deep, dropout=dropout) for deep in (False, True)
        )
        self.audio_background, self.visual_background = (
            BackgroundFusion(dim, class_dim=class_dim, dropout=dropout) if vectors > classes else None for _ in range(2)
        )
        self.audio_reconstructor, self.visual_reconstructor = (
            Reconstructor(vectors, class_dim, dim) if reconstruct else None for _ in range(2)
        )
        self.layers = nn.ModuleList(
            EnhancementLayer(
                class_dim, heads=heads, feed_forward=feed_forward, dropout=dropout, secm=secm, lgsf=lgsf, intra=intra,
                cross=cross,
            )
            for _ in range(layers)
        )  # fmt: skip
        start_alike(list(self.layers))
        self.heads = ClassHeads(class_dim, classes=classes, heads=3)

    def forward(
        self, *, audio: Tensor, visual_2d: Tensor, visual_3d: Tensor, labels: Tensor | None = None
    ) -> Predictions:
        """Parse a batch; arguments as for :class:`pipeline.models.parser.Parser`, ``labels`` are not used."""
        inputs = self.input_projection(audio, visual_2d, visual_3d)
        if self.encoder is not None:
            inputs = self.encoder(inputs)
        decoupled = Encoded(self.audio_decoupler(inputs.audio), self.visual_decoupler(inputs.visual))
        found, maps = self._enhance(self._with_background(inputs, decoupled))
        vectors = torch.stack(found, dim=2)
        vectors = vectors.expand(*vectors.shape[:3], self.classes, vectors.shape[-1])  # a lone one serves all
        logits, time, modality = self.heads(vectors).unbind(dim=-2)
        background = self.audio_background is not None
        auxiliary = MMCSEAuxiliary(inputs, decoupled, maps, self._reconstruct(decoupled), background)
        return replace(pool(logits, time, modality), auxiliary=auxiliary)

    def _with_background(self, inputs: Encoded, decoupled: Encoded) -> Encoded:
        """What FGSE reads: the background added to each class vector, if the model has one."""
        if self.audio_background is None or self.visual_background is None:
            return decoupled
        return Encoded(
            self.audio_background(inputs.audio, decoupled.audio),
            self.visual_background(inputs.visual, decoupled.visual),
        )

    def _enhance(self, streams: Encoded) -> tuple[Encoded, CoOccurrence]:
        """Class vectors after all layers, and the last layer's maps; a stream attends to the other's previous state."""
        for layer in self.layers:
            found = layer(streams.joined(), streams.joined_partners())
            streams = Encoded.parted(found.classes)
        within, across = (self._by_stream(maps) for maps in (found.within, found.across))
        return streams, CoOccurrence(within[0], across[0], within[1], across[1])

    def _by_stream(self, maps: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        if maps is None or not self.has_maps:
            return None, None
        return Encoded.parted(maps)

    def _reconstruct(self, decoupled: Encoded) -> Encoded | None:
        if self.audio_reconstructor is None or self.visual_reconstructor is None:
            return None
        return Encoded(
            self.audio_reconstructor(decoupled.audio.flatten(2)), self.visual_reconstructor(decoupled.visual.flatten(2))
        )
