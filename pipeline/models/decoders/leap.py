"""LEAP's decoder: label embeddings attend to the segments as queries."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from pipeline.models.attention import Attention, FeedForward
from pipeline.models.dropout import Dropout
from pipeline.models.paired_layers import PairedLinear, start_alike
from pipeline.models.paired_layers import norm as norm_layer
from pipeline.models.predictions import Encoded, Predictions, UnionRule, union_probability

BlockOutput = Literal["last", "first", "average"]
BlockNorm = Literal["published", "paper"]


class LEAPBlock(nn.Module):
    """Label embeddings attend to the segments of one modality.

    Args:
        dim: of labels and segments.
        heads: of the attention.
        feed_forward: hidden width.
        dropout: on residual branches and inside the feed-forward block.
        attention_dropout: on the attention weights.
        norm: ``published``: layer norms on the labels before each sublayer; the block's scores come from asking
            again with the updated labels, un-normalised. ``paper``: layer norms on what each sublayer gives, no
            output projection, and the scores are those that updated the labels.
        paired: whether each of two streams has a block of its own; all tensors then begin with ``[2, ...]``.

    Source: LEAP (Zhou et al., ECCV 2024, https://arxiv.org/abs/2407.08126), equation 3; its published code.
    """

    def __init__(
        self,
        dim: int,
        *,
        heads: int,
        feed_forward: int,
        dropout: float,
        attention_dropout: float,
        norm: BlockNorm = "published",
        paired: bool = False,
    ) -> None:
        super().__init__()
        if norm not in get_args(BlockNorm):
            raise ValueError(f"norm {norm!r}: expected one of {', '.join(get_args(BlockNorm))}")
        self.norm = norm
        self.attention = Attention(
            dim,
            heads=heads,
            dropout=attention_dropout,
            start="copies",
            project_output=norm == "published",
            paired=paired,
        )
        self.feed_forward = FeedForward(dim, feed_forward, dropout=dropout, paired=paired)
        self.attention_norm = norm_layer(dim, paired=paired)
        self.feed_forward_norm = norm_layer(dim, paired=paired)
        self.dropout = Dropout(dropout)

    def forward(self, labels: Tensor, stream: Tensor, *, with_scores: bool = True) -> tuple[Tensor, Tensor | None]:
        """Update the labels.

        Args:
            labels: ``[clips or 1, classes, dim]``; one row serves all clips.
            stream: ``[clips, segments, dim]``.
            with_scores: ``False`` saves the second question where nobody reads its scores.

        Returns:
            ``[clips, classes, dim]``, and scaled scores ``[clips, heads, classes, segments]`` before any softmax.
        """
        key, value = self.attention.project_memory(stream)
        if self.norm == "paper":
            scores = self.attention.scores(labels, key)
            labels = labels + self.dropout(self.attention_norm(self.attention.mix(scores, value)[0]))
            return labels + self.dropout(self.feed_forward_norm(self.feed_forward(labels))), scores
        first = self.attention.scores(self.attention_norm(labels), key)
        labels = labels + self.dropout(self.attention.mix(first, value)[0])
        again = self.attention.scores(labels, key) if with_scores else None
        return labels + self.dropout(self.feed_forward(self.feed_forward_norm(labels))), again


class LabelQueries(nn.Module):
    """The decoder's first label embeddings.

    Args:
        dim: of the decoder.
        label_dim: of the given text embeddings (GloVe 300, BERT and CLIP 768); 0 for embeddings that are learned.
        classes: how many.
    """

    def __init__(self, dim: int, *, label_dim: int, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.projection = nn.Linear(label_dim, dim) if label_dim else None
        self.learned = None if label_dim else nn.Parameter(torch.randn(classes, dim))

    def forward(self, labels: Tensor | None) -> Tensor:
        """Embeddings ``[1, classes, dim]``, or ``[clips, classes, dim]`` where ``labels`` has clips.

        Args:
            labels: ``[classes, label_dim]`` or ``[clips, classes, label_dim]``; ignored where they are learned.

        Raises:
            ValueError: If they are needed and absent, or of another shape.
        """
        if self.projection is None:
            return self._learned()[None]
        expected = f"[{self.classes}, {self.projection.in_features}], or one such for each clip"
        if labels is None:
            raise ValueError(f"labels: absent, expected text embeddings {expected}")
        if labels.ndim not in (2, 3) or labels.shape[-2:] != (self.classes, self.projection.in_features):
            raise ValueError(f"labels: shape is {list(labels.shape)}, expected {expected}")
        projected: Tensor = self.projection(labels if labels.ndim == 3 else labels[None])
        return projected

    def _learned(self) -> Tensor:
        if self.learned is None:
            raise ValueError("this model has neither a label projection nor learned labels")
        return self.learned


class LEAPDecoder(nn.Module):
    """A stack of blocks per modality. Scores give the segment probabilities, label embeddings the video probabilities.

    Args:
        dim: of segments and labels.
        classes: how many.
        label_dim: of the given text embeddings; 0 learns the embeddings instead.
        blocks: in each modality's stack.
        heads: of the attentions.
        feed_forward: hidden width.
        dropout: on residual branches and inside feed-forward blocks.
        attention_dropout: on attention weights.
        output: which block's embeddings and scores are read: ``last`` (published), ``first``, or the ``average`` of
            all. With ``first`` nothing after the first block has an effect, so no more are built.
        norm: ``published`` or ``paper``; see :class:`LEAPBlock`.
        union: how ``union_video`` is made, see :func:`union_probability`; ``hard`` as published.

    Source: LEAP (Zhou et al., ECCV 2024, https://arxiv.org/abs/2407.08126), the label-anticipated decoder;
    its published code.
    """

    def __init__(
        self,
        dim: int,
        *,
        classes: int = 25,
        label_dim: int = 300,
        blocks: int = 2,
        heads: int = 8,
        feed_forward: int = 512,
        dropout: float = 0.2,
        attention_dropout: float = 0.1,
        output: BlockOutput = "last",
        norm: BlockNorm = "published",
        union: UnionRule = "hard",
    ) -> None:
        super().__init__()
        if union not in get_args(UnionRule):
            raise ValueError(f"union {union!r}: expected one of {', '.join(get_args(UnionRule))}")
        self.output: BlockOutput = output
        self.union: UnionRule = union
        self.labels = LabelQueries(dim, label_dim=label_dim, classes=classes)
        self.blocks = leap_blocks(
            blocks, output=output, dim=dim, heads=heads, feed_forward=feed_forward, dropout=dropout,
            attention_dropout=attention_dropout, norm=norm, paired=True,
        )  # fmt: skip
        self.video = PairedLinear(dim, 1)

    def forward(self, streams: Encoded, labels: Tensor | None = None) -> Predictions:
        """Decode.

        Args:
            streams: ``[clips, segments, dim]`` a modality.
            labels: text embeddings ``[classes, label_dim]``, or one such for each clip.
        """
        both = torch.stack(streams)
        queries = self.labels(labels)
        found, scores = ask_labels(self.blocks, queries.expand(len(both), *queries.shape), both, output=self.output)
        logits = scores.mean(dim=2).transpose(2, 3)
        segment, video = logits.sigmoid(), self.video(found).squeeze(-1).sigmoid()
        return Predictions(
            audio_segment=segment[0],
            visual_segment=segment[1],
            audio_video=video[0],
            visual_video=video[1],
            union_video=union_probability(video[0], video[1], rule=self.union),
            audio_logits=logits[0],
            visual_logits=logits[1],
            label_features=Encoded(*found.unbind()),
            attention=Encoded(*scores.unbind()),
        )


def leap_blocks(count: int, *, output: BlockOutput, **options: Any) -> nn.ModuleList:
    """A stack of :class:`LEAPBlock` with the same initial weights, no longer than ``output`` uses.

    Args:
        count: how many blocks.
        output: see :class:`LEAPDecoder`.
        options: of each block.

    Raises:
        ValueError: If there are none, or ``output`` is unknown.
    """
    if count < 1:
        raise ValueError(f"{count} blocks: expected at least 1")
    if output not in get_args(BlockOutput):
        raise ValueError(f"output {output!r}: expected one of {', '.join(get_args(BlockOutput))}")
    blocks = nn.ModuleList(LEAPBlock(**options) for _ in range(1 if output == "first" else count))
    start_alike(list(blocks))
    return blocks


def ask_labels(blocks: nn.ModuleList, labels: Tensor, stream: Tensor, *, output: BlockOutput) -> tuple[Tensor, Tensor]:
    """Label embeddings and scores of the block or blocks that ``output`` selects.

    Args:
        blocks: a stack of :class:`LEAPBlock`; if they are paired, all tensors begin with ``[2, ...]``.
        labels: ``[clips or 1, classes, dim]``.
        stream: ``[clips, segments, dim]``.
        output: see :class:`LEAPDecoder`.

    Returns:
        ``[clips, classes, dim]``, and scores ``[clips, heads, classes, segments]``.
    """
    found, scores = [], []
    for number, block in enumerate(blocks, start=1):
        read = output == "average" or number == len(blocks)
        labels, block_scores = block(labels, stream, with_scores=read)
        if read:
            found.append(labels)
            scores.append(block_scores)
    if len(found) == 1:
        return found[0], scores[0]
    return torch.stack(found).mean(dim=0), torch.stack(scores).mean(dim=0)
