"""Finding parts of a network, and putting quicker ones in their place."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

_TOLERANCE = 1e-4
"""Largest change of the example's output, relative to its largest value; Winograd's own is about 1e-6."""


def parts_of(network: nn.Module, kind: type[nn.Module]) -> list[tuple[Any, str, Any]]:
    """Every part of a kind: its parent, its name there, and itself."""
    return [
        (parent, name, child)
        for parent in network.modules()
        for name, child in parent.named_children()
        if isinstance(child, kind)
    ]


def replace_parts(
    network: nn.Module,
    example: Tensor,
    parts: list[tuple[Any, str, nn.Module]],
    kind: type[nn.Module],
    packed: Callable[[str, nn.Module, dict[nn.Module, list[int]]], nn.Module],
) -> int:
    """Replace parts of a network; put all of them back if that changes the output.

    Args:
        network: changed in place.
        example: a batch of the usual size.
        parts: parent, name in it, and the part itself.
        kind: of the modules whose input shapes ``packed`` needs.
        packed: gives the new part, from the name, the part and the shapes.

    Returns:
        How many were replaced; 0 if they were put back.
    """
    with torch.inference_mode():
        before, shapes = input_shapes(network, example, kind)
        for parent, name, part in parts:
            setattr(parent, name, packed(name, part, shapes))
        change = float((network(example) - before).abs().max())
    if change <= _TOLERANCE * (float(before.abs().max()) or 1.0):
        return len(parts)
    for parent, name, part in parts:
        setattr(parent, name, part)
    return 0


def input_shapes(
    network: nn.Module, example: Tensor, kind: type[nn.Module]
) -> tuple[Tensor, dict[nn.Module, list[int]]]:
    """The output for an example, and the shape that each part of a kind is given."""
    shapes: dict[nn.Module, list[int]] = {}

    def note(part: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        shapes[part] = list(inputs[0].shape)

    hooks = [part.register_forward_pre_hook(note) for part in network.modules() if isinstance(part, kind)]
    try:
        return network(example).clone(), shapes
    finally:
        for hook in hooks:
            hook.remove()
