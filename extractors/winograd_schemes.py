"""The schemes of :mod:`extractors.winograd`: how many outputs a tile has, and the points that its polynomials meet.

A convolution with 3 taps is a product of polynomials, known by its values at as many points as a tile has inputs; one
of the points is infinity. Points in pairs, one the other's negative, share all but the last step of each sum.

Sources: Lavin and Gray, Fast algorithms for convolutional neural networks, CVPR 2016; Barabasz, Anderson, Soodhalter
and Gregg, Error analysis and improving the accuracy of Winograd convolution for deep neural networks, 2020.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

TAPS = 3
"""Of a convolution, along each side."""


@dataclass(frozen=True)
class Scheme:
    """F(outputs x outputs, 3 x 3).

    Attributes:
        outputs: of a tile, along each side.
        pairs: points, each of which stands for itself and its negative; exact in float32, as are their squares.
        zero: whether 0 is a point.
    """

    outputs: int
    pairs: tuple[float, ...]
    zero: bool

    def __post_init__(self) -> None:
        if len(self.points) + 1 != self.side:
            raise ValueError(f"{len(self.points)} points and infinity, expected {self.side} for a tile's side")

    @property
    def side(self) -> int:
        """Inputs of a tile, along each side."""
        return self.outputs + TAPS - 1

    @property
    def cells(self) -> int:
        """Inputs of a tile, and products that it takes."""
        return self.side**2

    @property
    def points(self) -> tuple[float, ...]:
        """All but infinity, in the order of a tile's cells."""
        return (0.0,) * self.zero + tuple(sign * point for point in self.pairs for sign in (1, -1))

    @property
    def weight_transform(self) -> list[list[float]]:
        """G, ``[side][3]``: taps to their polynomial's values, over what the tile's own values are too large by."""
        values = []
        for point in self.points:
            excess = prod(point - other for other in self.points if other != point)
            values.append([point**tap / excess for tap in range(TAPS)])
        return [*values, [0.0, 0.0, 1.0]]

    def tiles(self, height: int, width: int) -> int:
        """Of a picture."""
        return -(-height // self.outputs) * -(-width // self.outputs)


def vanishing(squares: Sequence[float]) -> list[float]:
    """Coefficients, lowest first, of the polynomial in ``x ** 2`` that is 0 where ``x ** 2`` is one of ``squares``."""
    found = [1.0]
    for square in squares:
        found = [low - square * high for low, high in zip([0.0, *found], [*found, 0.0], strict=True)]
    return found


SMALL = Scheme(outputs=4, pairs=(0.625, 1.5), zero=True)
LARGE = Scheme(outputs=7, pairs=(0.25, 0.625, 1.125, 2.25), zero=False)
"""Pictures of 224 and their halves fill its tiles. Of points that are eighths, those of both schemes round best: by
experiment, ``SMALL`` to 0.4 of what the usual 0, 1, -1, 2, -2 do, and ``LARGE`` to 4 times of that.
"""
