"""ResNet bottlenecks on a CPU: weights laid out for oneDNN once, ReLU and the residual sum done inside the convolution.

Eager torch lays the weights out anew in every call and walks through every activation twice more, for the ReLU and
for the sum. Measured on two cores, ResNet-152 took 0.90 of the time, with the same bits; with its 3 x 3 convolutions
as Winograd's (:mod:`extractors.winograd`) it took 0.85 of that. The operators are those that ``torch.compile`` calls;
where a torch lacks them, or they give other numbers, nothing is changed.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from extractors.winograd import WinogradConv2d, suits

if TYPE_CHECKING:
    from torch import Tensor

_TOLERANCE = 1e-4
"""Largest change of the example's output, relative to its largest value; Winograd's own is about 1e-6."""


class PackedConv2d(nn.Module):
    """A convolution whose weights lie as oneDNN wants them.

    Args:
        conv: with its batch norm folded in.
        input_shape: of the inputs to come; other batch sizes work too.
    """

    def __init__(self, conv: nn.Conv2d, input_shape: list[int]) -> None:
        super().__init__()
        self.bias = conv.bias
        self._geometry = (list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups)
        # Not a parameter: the layout is opaque to torch, which could neither copy nor print it.
        self.__dict__["_weight"] = torch.ops.mkldnn._reorder_convolution_weight(
            conv.weight, *self._geometry, input_shape
        )

    def forward(self, x: Tensor, *, then: str = "none") -> Tensor:
        """Convolve; ``then`` is ``none`` or ``relu``."""
        weight: Any = self.__dict__["_weight"]
        out: Tensor = torch.ops.mkldnn._convolution_pointwise.default(
            x, weight, self.bias, *self._geometry, then, [], ""
        )
        return out

    def add_relu_(self, x: Tensor, onto: Tensor) -> Tensor:
        """Convolve ``x``, add it to ``onto`` in place, ReLU."""
        weight: Any = self.__dict__["_weight"]
        out: Tensor = torch.ops.mkldnn._convolution_pointwise_.binary(
            onto, x, weight, self.bias, *self._geometry, "add", 1.0, "relu", [], ""
        )
        return out


def packed_conv(conv: nn.Conv2d, input_shape: list[int]) -> PackedConv2d | WinogradConv2d:
    """The quickest form of a convolution whose batch norm is folded in; called with ``then``."""
    return WinogradConv2d(conv) if suits(conv, input_shape) else PackedConv2d(conv, input_shape)


class PackedBottleneck(nn.Module):
    """Torchvision's ``Bottleneck`` with packed convolutions. Overwrites its input where there is no downsampling."""

    def __init__(self, block: Any, shapes: dict[nn.Module, list[int]]) -> None:
        super().__init__()
        self.conv1, self.conv3 = (PackedConv2d(conv, shapes[conv]) for conv in (block.conv1, block.conv3))
        self.conv2 = packed_conv(block.conv2, shapes[block.conv2])
        self.shortcut = None
        if block.downsample is not None:
            self.shortcut = PackedConv2d(block.downsample[0], shapes[block.downsample[0]])

    def forward(self, x: Tensor) -> Tensor:
        """``[batch, channels, height, width]``, channels last."""
        inner = self.conv2(self.conv1(x, then="relu"), then="relu")
        out: Tensor = self.conv3.add_relu_(inner, x if self.shortcut is None else self.shortcut(x))
        return out


def pack_bottlenecks(network: nn.Module, example: Tensor) -> int:
    """Replace every bottleneck of a torchvision ResNet whose batch norms are folded.

    Args:
        network: in eval mode, on the CPU, float32, channels last; changed in place.
        example: a batch of the usual size.

    Returns:
        How many were replaced; 0 where torch lacks the operators or they would change the output.
    """
    from torchvision.models.resnet import Bottleneck

    blocks = [place for place in parts_of(network, Bottleneck) if isinstance(place[2].bn1, nn.Identity)]
    if not blocks or not has_operators():
        return 0
    return replace_parts(
        network, example, blocks, nn.Conv2d, lambda name, block, shapes: PackedBottleneck(block, shapes)
    )


class PackedConvReLU(nn.Module):
    """A convolution and the ReLU after it."""

    def __init__(self, conv: nn.Conv2d, input_shape: list[int]) -> None:
        super().__init__()
        self.conv = packed_conv(conv, input_shape)

    def forward(self, x: Tensor) -> Tensor:
        """``[batch, channels, height, width]``."""
        out: Tensor = self.conv(x, then="relu")
        return out


def pack_sequence(layers: nn.Sequential, example: Tensor) -> int:
    """Pack every convolution of a sequence that a ReLU follows, as in VGG.

    Args:
        layers: in eval mode, on the CPU, float32, channels last; changed in place.
        example: a batch of the usual size.

    Returns:
        How many were packed; 0 where torch lacks the operators or they would change the output.
    """
    if not has_operators():
        return 0
    pairs = [
        ((layers, name, part), (layers, after, relu))
        for (name, part), (after, relu) in pairwise(layers.named_children())
        if isinstance(part, nn.Conv2d) and isinstance(relu, nn.ReLU)
    ]

    def packed(name: str, part: nn.Module, shapes: dict[nn.Module, list[int]]) -> nn.Module:
        return PackedConvReLU(part, shapes[part]) if isinstance(part, nn.Conv2d) else nn.Identity()

    return replace_parts(layers, example, [part for pair in pairs for part in pair], nn.Conv2d, packed) // 2


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


def has_operators() -> bool:
    """Whether this torch has the operators that ``torch.compile`` calls for convolutions."""
    if not torch.backends.mkldnn.is_available():
        return False
    operators = ("_reorder_convolution_weight", "_convolution_pointwise", "_convolution_pointwise_")
    return all(hasattr(torch.ops.mkldnn, name) for name in operators)


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
