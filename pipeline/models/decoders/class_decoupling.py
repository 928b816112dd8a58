"""Class-aware decoupling of MM-CSE: splits a segment's features into a vector per class and one for background."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.models.dropout import Dropout

Decoupling = Literal["classes_and_background", "classes", "none"]
"""Which vectors a segment is split into."""


def vector_count(decoupling: Decoupling, *, classes: int) -> int:
    """How many vectors a segment is split into.

    Raises:
        ValueError: If the choice is unknown.
    """
    counts = {"classes_and_background": classes + 1, "classes": classes, "none": 1}
    if decoupling not in counts:
        raise ValueError(f"decoupling {decoupling!r}: expected one of {', '.join(counts)}")
    return counts[decoupling]


class Decoupler(nn.Module):
    """A small network per class and one for the background, run as one batched product.

    ReLU, linear, ReLU; for the visual stream then dropout, a second linear layer and ReLU.

    Args:
        dim: of a segment.
        class_dim: of a class vector.
        vectors: classes and background.
        deep: whether there is the second linear layer.
        dropout: before it.
    """

    def __init__(self, dim: int, *, class_dim: int, vectors: int, deep: bool, dropout: float = 0.1) -> None:
        super().__init__()
        self.shape = (vectors, class_dim)
        self.first = nn.Linear(dim, vectors * class_dim)
        self.second_weight = nn.Parameter(torch.empty(vectors, class_dim, class_dim)) if deep else None
        self.second_bias = nn.Parameter(torch.empty(vectors, class_dim)) if deep else None
        self.dropout = Dropout(dropout)
        for parameter in (self.second_weight, self.second_bias):
            if parameter is not None:
                start_like_linear(parameter, fan_in=class_dim)

    def forward(self, features: Tensor) -> Tensor:
        """``[clips, segments, dim]`` to ``[clips, segments, vectors, class_dim]``."""
        found = functional.relu(self.first(functional.relu(features)))
        found = torch.unflatten(found, -1, self.shape)
        if self.second_weight is None or self.second_bias is None:
            return found
        mixed = torch.einsum("btvi,voi->btvo", self.dropout(found), self.second_weight)
        return functional.relu(mixed + self.second_bias)


class BackgroundFusion(nn.Module):
    """Adds the background to each class vector, weighted by a gate per segment.

    The published layer reads ``[share * class; (1 - share) * background]`` for every class. The background's part is
    the same for all classes, so it is multiplied once.

    Args:
        dim: of a segment.
        class_dim: of a class vector.
        dropout: inside the network that finds the share.
    """

    def __init__(self, dim: int, *, class_dim: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.share = nn.Sequential(
            nn.ReLU(), nn.Linear(dim, dim // 2), nn.ReLU(), Dropout(dropout), nn.Linear(dim // 2, 1)
        )
        self.reduce = nn.Linear(2 * class_dim, class_dim)

    def forward(self, features: Tensor, decoupled: Tensor) -> Tensor:
        """Fuse.

        Args:
            features: ``[clips, segments, dim]``.
            decoupled: ``[clips, segments, classes + 1, class_dim]``, the background last.

        Returns:
            ``[clips, segments, classes, class_dim]``.
        """
        share = torch.sigmoid(self.share(features)).unsqueeze(-1)
        of_class, of_background = self.reduce.weight.chunk(2, dim=1)
        events, background = decoupled[:, :, :-1], decoupled[:, :, -1:]
        from_class = functional.linear(share * events, of_class, self.reduce.bias)
        return functional.relu(from_class + functional.linear((1 - share) * background, of_background))


class ClassHeads(nn.Module):
    """Several linear layers with one output, each with its own weights per class.

    Args:
        class_dim: of a class vector.
        classes: how many.
        heads: how many numbers.
    """

    def __init__(self, class_dim: int, *, classes: int, heads: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(heads, classes, class_dim))
        self.bias = nn.Parameter(torch.empty(heads, classes))
        start_like_linear(self.weight, fan_in=class_dim)
        start_like_linear(self.bias, fan_in=class_dim)

    def forward(self, vectors: Tensor) -> Tensor:
        """``[..., classes, class_dim]`` to ``[..., heads, classes]``."""
        return torch.einsum("...cd,hcd->...hc", vectors, self.weight) + self.bias


def start_like_linear(parameter: nn.Parameter, *, fan_in: int) -> None:
    """Initialise like ``torch.nn.Linear``."""
    bound = 1 / math.sqrt(fan_in)
    nn.init.uniform_(parameter, -bound, bound)
