"""ResNet bottlenecks on a CPU: weights laid out once, ReLU and the residual sum done inside the convolution.

Eager torch lays the weights out anew in every call and walks through every activation twice more, for the ReLU and
for the sum. Most 3 x 3 convolutions run as Winograd's (:mod:`extractors.winograd`), 1 x 1 ones as matrix products
(:mod:`extractors.packed_product`), others through oneDNN's operators that ``torch.compile`` calls; where a torch lacks
those, or numbers change, nothing is replaced.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from extractors import packed_product, winograd
from extractors.network_parts import parts_of, replace_parts
from extractors.packed_product import PackedLinear
from extractors.winograd import WinogradConv2d

if TYPE_CHECKING:
    from torch import Tensor


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


class ProductConv2d(nn.Module):
    """A 1 x 1 convolution of channels-last pictures as a matrix product.

    Args:
        conv: with its batch norm folded in.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self._linear = PackedLinear(conv.weight.flatten(1), conv.bias)
        self._down, self._across = conv.stride

    def forward(self, x: Tensor, *, then: str = "none") -> Tensor:
        """Convolve; ``then`` is ``none`` or ``relu``."""
        return self._linear(self._places(x), then=then).permute(0, 3, 1, 2)  # type: ignore[no-any-return]

    def add_relu_(self, x: Tensor, onto: Tensor) -> Tensor:
        """Convolve ``x``, add it to ``onto`` in place, ReLU."""
        onto = onto.permute(0, 2, 3, 1).contiguous()
        return self._linear(self._places(x), onto=onto, then="relu").permute(0, 3, 1, 2)  # type: ignore[no-any-return]

    def _places(self, x: Tensor) -> Tensor:
        return x[:, :, :: self._down, :: self._across].permute(0, 2, 3, 1)


PackedConv = PackedConv2d | ProductConv2d | WinogradConv2d


def packed_conv(conv: nn.Conv2d, input_shape: list[int]) -> PackedConv:
    """The quickest form of a convolution whose batch norm is folded in; called with ``then``."""
    scheme = winograd.best_scheme(input_shape)
    if scheme is not None and winograd.suits(conv, input_shape):
        return WinogradConv2d(conv, scheme)
    if _is_product(conv) and packed_product.suits(
        inputs=conv.in_channels, outputs=conv.out_channels, rows=_places(conv, input_shape)
    ):
        return ProductConv2d(conv)
    return PackedConv2d(conv, input_shape)


def _is_product(conv: nn.Conv2d) -> bool:
    return conv.kernel_size == (1, 1) and conv.padding == (0, 0) and conv.groups == 1


def _places(conv: nn.Conv2d, input_shape: list[int]) -> int:
    """Places of all pictures that a 1 x 1 convolution looks at."""
    images, _, height, width = input_shape
    return images * len(range(0, height, conv.stride[0])) * len(range(0, width, conv.stride[1]))


class PackedBottleneck(nn.Module):
    """Torchvision's ``Bottleneck`` with packed convolutions. Overwrites its input where there is no downsampling."""

    def __init__(self, block: Any, shapes: dict[nn.Module, list[int]]) -> None:
        super().__init__()
        self.conv1, self.conv2 = (packed_conv(conv, shapes[conv]) for conv in (block.conv1, block.conv2))
        self.conv3: Any = packed_conv(block.conv3, shapes[block.conv3])
        self.shortcut = None
        if block.downsample is not None:
            self.shortcut = packed_conv(block.downsample[0], shapes[block.downsample[0]])

    def forward(self, x: Tensor) -> Tensor:
        """``[batch, channels, height, width]``, channels last."""
        inner: Tensor = self.conv2(self.conv1(x, then="relu"), then="relu")
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


def has_operators() -> bool:
    """Whether this torch has the operators that ``torch.compile`` calls for convolutions."""
    if not torch.backends.mkldnn.is_available():
        return False
    operators = ("_reorder_convolution_weight", "_convolution_pointwise", "_convolution_pointwise_")
    return all(hasattr(torch.ops.mkldnn, name) for name in operators)
