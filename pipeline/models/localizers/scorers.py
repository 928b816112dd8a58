"""Scores fused segments for each class: with the methods' own layers or with LEAP's label embeddings.

LEAP's code for audio-visual event localization is not published. The paper only says that its decoder replaces the
methods' classifiers (Table 5). :class:`LEAPScorer` is our reading of it.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from pipeline.models.decoders.leap import BlockNorm, BlockOutput, LabelQueries, ask_labels, leap_blocks
from pipeline.models.localizers.localization import Scored

Start = Literal["torch", "xavier"]
Over = Literal["segments", "video"]


class MLPScorer(nn.Module):
    """One or two linear layers with ReLU between them.

    Args:
        dim: of a segment.
        classes: with the background.
        hidden: width of the first layer; 0 for one layer alone.
        bias: whether the layers have one.
        start: of a single layer: ``torch``'s own rule, or ``xavier``'s; two layers start with Xavier's.
        over: ``segments``, or the ``video``: one score for the largest value of each dimension over time.

    Source: the classifiers of AVE's ``att_Net`` (two layers), DMRN (one), PSP (two, without bias) and CMBS (one,
    without bias; fully supervised: one, over the video).
    """

    def __init__(
        self, dim: int, *, classes: int, hidden: int = 64, bias: bool = True, start: Start = "torch",
        over: Over = "segments",
    ) -> None:  # fmt: skip
        super().__init__()
        self.over = over
        layers = [nn.Linear(dim, hidden, bias=bias), nn.Linear(hidden, classes, bias=bias)] if hidden else []
        self.layers = nn.ModuleList(layers or [nn.Linear(dim, classes, bias=bias)])
        if hidden or start == "xavier":
            for parameter in self.layers.parameters():
                if parameter.ndim == 2:
                    nn.init.xavier_uniform_(parameter)

    def forward(self, segments: Tensor, labels: Tensor | None = None) -> Scored:
        """Score ``[clips, segments, dim]``; ``labels`` are not used."""
        if self.over == "video":
            segments = segments.amax(dim=1, keepdim=True)
        for layer in self.layers[:-1]:
            segments = layer(segments).relu()
        return Scored(self.layers[-1](segments))


class LEAPScorer(nn.Module):
    """LEAP's blocks on fused segments; a label's attention scores are the segments' scores for its class.

    Our reading, where nothing is published: one stack, because the modalities are fused already; a label for each class
    and one for the background, so that the background competes as it does in the methods; the scores go into the
    method's own pooling in place of its classifier's, and one linear layer on the label embeddings gives the video's
    scores, which the method's own weak loss judges as well.

    Args:
        dim: of a fused segment; brought to ``width`` by a linear layer where it is another.
        classes: with the background.
        width: of the blocks.
        label_dim: of the given text embeddings; 0 learns the embeddings instead.
        blocks: how many.
        heads: of the attentions.
        feed_forward: hidden width.
        dropout: on residual branches and inside feed-forward blocks.
        attention_dropout: on attention weights.
        output: see :class:`pipeline.models.decoders.leap.LEAPDecoder`.
        norm: see :class:`pipeline.models.decoders.leap.LEAPBlock`.

    Source: LEAP (Zhou et al., ECCV 2024, https://arxiv.org/abs/2407.08126), Table 5; see the module.
    """

    def __init__(
        self, dim: int, *, classes: int, width: int = 256, label_dim: int = 300, blocks: int = 2, heads: int = 8,
        feed_forward: int = 256, dropout: float = 0.2, attention_dropout: float = 0.1, output: BlockOutput = "last",
        norm: BlockNorm = "published",
    ) -> None:  # fmt: skip
        super().__init__()
        self.output: BlockOutput = output
        self.narrow = nn.Linear(dim, width) if dim != width else nn.Identity()
        self.labels = LabelQueries(width, label_dim=label_dim, classes=classes)
        self.blocks = leap_blocks(
            blocks, output=output, dim=width, heads=heads, feed_forward=feed_forward, dropout=dropout,
            attention_dropout=attention_dropout, norm=norm,
        )  # fmt: skip
        self.video = nn.Linear(width, 1)

    def forward(self, segments: Tensor, labels: Tensor | None = None) -> Scored:
        """Score.

        Args:
            segments: ``[clips, segments, dim]``.
            labels: text embeddings ``[classes, label_dim]``, or one such for each clip.
        """
        found, scores = ask_labels(self.blocks, self.labels(labels), self.narrow(segments), output=self.output)
        video = self.video(found).squeeze(-1)
        return Scored(scores.mean(dim=1).transpose(1, 2), video, attention=scores, label_features=found)
