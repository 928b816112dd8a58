"""The parser: an input projection, any encoder and any decoder."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from pipeline.models.input_projection import InputProjection
from pipeline.models.predictions import Predictions


class Parser(nn.Module):
    """An input projection, an encoder and a decoder.

    Args:
        input_projection: backbone features to streams.
        encoder: :class:`Encoded` to :class:`Encoded`.
        decoder: :class:`Encoded` and label embeddings to :class:`Predictions`.
    """

    def __init__(self, input_projection: InputProjection, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.input_projection = input_projection
        self.encoder = encoder
        self.decoder = decoder

    def forward(
        self, *, audio: Tensor, visual_2d: Tensor, visual_3d: Tensor, labels: Tensor | None = None
    ) -> Predictions:
        """Parse a batch.

        Args:
            audio: ``[clips, segments, audio_dim]``, or CLAP's map ``[clips, 64, 768]``.
            visual_2d: ``[clips, steps, visual_2d_dim]``, any whole number of steps a segment.
            visual_3d: ``[clips, segments, visual_3d_dim]``.
            labels: text embeddings ``[classes, label_dim]``, or one such for each clip; LEAP only.

        Raises:
            ValueError: If a shape does not fit.
        """
        streams = self.encoder(self.input_projection(audio, visual_2d, visual_3d))
        predictions: Predictions = self.decoder(streams, labels)
        return replace(predictions, features=streams)
