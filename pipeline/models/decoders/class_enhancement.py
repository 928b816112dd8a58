"""Fine-grained semantic enhancement of MM-CSE: attention between class vectors, over time and across modalities."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.models.attention import Attention, FeedForward

Variant = Literal["published", "paper"]
PathParts = Literal["secm_and_lgsf", "secm", "lgsf", "none"]
"""What a path of an FGSE layer consists of."""


class CoOccurrenceAttention(nn.Module):
    """SECM: the classes of one segment attend to each other, or to those of the other modality.

    Args:
        class_dim: of a class vector.
        heads: of the attention.
        dropout: on its weights; the map that is returned has it too, as published.
        variant: ``published``: multi-head attention with learned projections. ``paper``: softmax of plain scaled
            products, no weights at all.

    Source: MM-CSE (Zhao et al., AAAI 2025, https://arxiv.org/abs/2412.11248), segment-wise event co-occurrence
    modeling, and its published code.
    """

    def __init__(self, class_dim: int, *, heads: int, dropout: float = 0.1, variant: Variant = "published") -> None:
        super().__init__()
        self.attention = Attention(class_dim, heads=heads, dropout=dropout) if variant == "published" else None

    def forward(self, classes: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        """Attend, and add to the input.

        Args:
            classes: ``[clips, segments, classes, class_dim]``, which ask.
            others: the same shape, which answer.

        Returns:
            The same shape, and the map ``[clips, segments, classes, classes]``, mean over heads.
        """
        if self.attention is None:
            scores = torch.matmul(classes, others.transpose(-2, -1)) / math.sqrt(classes.shape[-1])
            weights = scores.softmax(dim=-1)
            return classes + torch.matmul(weights, others), weights
        found, by_head = self.attention(classes.flatten(0, 1), others.flatten(0, 1))
        weights = torch.unflatten(by_head.mean(dim=1), 0, classes.shape[:2])
        return classes + found.view_as(classes), weights


class GlobalFusion(nn.Module):
    """LGSF: how much of a class's mean over the clip a segment should take.

    Args:
        class_dim: of a class vector.
        shared: whether the local and the global vector go through one linear layer (across modalities) or through
            their own (within one).
        variant: ``published``: linear layers and ReLU, the gate is the sigmoid of a cosine. ``paper``: the cosine
            itself, no layers.

    Source: MM-CSE (Zhao et al., AAAI 2025, https://arxiv.org/abs/2412.11248), local-global semantic fusion, and its
    published code.
    """

    def __init__(self, class_dim: int, *, shared: bool, variant: Variant = "published") -> None:
        super().__init__()
        published = variant == "published"
        self.local_layer = nn.Linear(class_dim, class_dim) if published else None
        self.global_layer = nn.Linear(class_dim, class_dim) if published and not shared else None

    def forward(self, local: Tensor, source: Tensor) -> Tensor:
        """Weigh the mean.

        Args:
            local: ``[clips, segments, classes, class_dim]``.
            source: the same shape; its mean over segments is the global vector.

        Returns:
            The same shape: gate times global vector.
        """
        if self.local_layer is None:
            mean = source.mean(dim=1, keepdim=True)
            return functional.cosine_similarity(local, mean, dim=-1).unsqueeze(-1) * mean
        global_layer = self.global_layer or self.local_layer
        mean = functional.relu(global_layer(source)).mean(dim=1, keepdim=True)
        cosine = functional.cosine_similarity(functional.relu(self.local_layer(local)), mean, dim=-1)
        return torch.sigmoid(cosine).unsqueeze(-1) * mean


class Enhanced(NamedTuple):
    """Output of a layer for one stream.

    Attributes:
        classes: ``[clips, segments, classes, class_dim]``.
        within: co-occurrence map of the stream with itself, ``[clips, segments, classes, classes]``; ``None`` where
            that path has no SECM.
        across: likewise with the other stream.
    """

    classes: Tensor
    within: Tensor | None
    across: Tensor | None


class EnhancementLayer(nn.Module):
    """One FGSE layer; the same object serves both streams.

    It has two paths, within the stream and across. In each, SECM finds what the gate of LGSF compares, and LGSF's
    result is added to the layer's input, so SECM acts through gate and global vector only. A linear layer ends each
    path, and the paths are added. The feed-forward block that ends the layer has no residual and no norm after it, as
    published.

    The paper leaves parts out in its ablations, but their code is not public, so what a path then computes is our
    reading. With ``F`` the layer's input, ``Z`` SECM's output (its residual included) and ``linear`` the path's last
    layer:

    - ``secm_and_lgsf``: ``linear(F + LGSF(Z))``, as published.
    - ``secm``: ``linear(Z)``; SECM's output takes the place of LGSF's.
    - ``lgsf``: ``linear(F + LGSF(F))``; the gate compares the layer's input itself. The path has no map.
    - ``none``: there is no such path, and no linear layer for it.

    Args:
        class_dim: of a class vector.
        heads: of the attentions.
        feed_forward: hidden width.
        dropout: of attentions and feed-forward block.
        secm: variant of :class:`CoOccurrenceAttention`.
        lgsf: variant of :class:`GlobalFusion`; in ``paper`` the global vector within a stream is the mean of the
            layer's input, in ``published`` of what SECM gives.
        intra: parts of the path within the stream.
        cross: parts of the path across.

    Raises:
        ValueError: If a choice is unknown, or no path is left.
    """

    def __init__(
        self,
        class_dim: int,
        *,
        heads: int,
        feed_forward: int,
        dropout: float,
        secm: Variant = "published",
        lgsf: Variant = "published",
        intra: PathParts = "secm_and_lgsf",
        cross: PathParts = "secm_and_lgsf",
    ) -> None:
        super().__init__()
        for name, value, choices in (("secm", secm, Variant), ("lgsf", lgsf, Variant), ("intra", intra, PathParts),
                                     ("cross", cross, PathParts)):  # fmt: skip
            if value not in get_args(choices):
                raise ValueError(f"{name} {value!r}: expected one of {', '.join(get_args(choices))}")
        if intra == cross == "none":
            raise ValueError("intra and cross are both none, which leaves no path. Keep one of them")
        self.global_from_input = lgsf == "paper"
        self.within_classes, self.across_classes = (
            CoOccurrenceAttention(class_dim, heads=heads, dropout=dropout, variant=secm) if "secm" in parts else None
            for parts in (intra, cross)
        )
        self.within_global, self.across_global = (
            GlobalFusion(class_dim, shared=shared, variant=lgsf) if "lgsf" in parts else None
            for parts, shared in ((intra, False), (cross, True))
        )
        self.within, self.across = (
            nn.Linear(class_dim, class_dim) if parts != "none" else None for parts in (intra, cross)
        )
        self.norm = nn.LayerNorm(class_dim)
        self.feed_forward = FeedForward(class_dim, feed_forward, dropout=dropout)

    def forward(self, stream: Tensor, other: Tensor) -> Enhanced:
        """Update one stream; both are ``[clips, segments, classes, class_dim]``."""
        map_within = map_across = None
        paths: list[Tensor] = []
        if self.within is not None:
            local, map_within = _attended(self.within_classes, stream, stream)
            source = stream if self.global_from_input else local
            paths.append(self.within(_fused(self.within_global, stream, local, source)))
        if self.across is not None:
            local, map_across = _attended(self.across_classes, stream, other)
            paths.append(self.across(_fused(self.across_global, stream, local, other)))
        found = paths[0] if len(paths) == 1 else paths[0] + paths[1]
        return Enhanced(self.feed_forward(self.norm(found)), map_within, map_across)


def _attended(secm: CoOccurrenceAttention | None, stream: Tensor, other: Tensor) -> tuple[Tensor, Tensor | None]:
    """SECM's output and map; the stream itself where there is no SECM."""
    if secm is None:
        return stream, None
    found: tuple[Tensor, Tensor] = secm(stream, other)
    return found


def _fused(lgsf: GlobalFusion | None, stream: Tensor, local: Tensor, source: Tensor) -> Tensor:
    """LGSF's output added to the stream; SECM's output where there is no LGSF."""
    if lgsf is None:
        return local
    fused: Tensor = stream + lgsf(local, source)
    return fused
