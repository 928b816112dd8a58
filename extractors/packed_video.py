"""R(2+1)D on a CPU: its convolutions are flat, so they run as packed 2-d ones, ReLU and residual sum inside.

A (1, k, k) convolution looks at each frame alone: frames become the batch. A (3, 1, 1) one looks at each place alone:
time becomes the height, and all places of a frame the width. Channels lie last, so neither moves a byte. Most of those
over frames run as Winograd's (:mod:`extractors.winograd`).
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.nn.functional import pad

from extractors.network_parts import parts_of, replace_parts
from extractors.packed_conv import has_operators, packed_conv

if TYPE_CHECKING:
    from torch import Tensor


_WHOLE = 16
"""Channels of a whole vector."""


class FlatConv3d(nn.Module):
    """A convolution over frames, or over time, as a packed 2-d one.

    Args:
        conv: kernel ``(1, k, k)`` or ``(k, 1, 1)``, batch norm folded in.
        input_shape: ``[clips, channels, frames, height, width]`` of the inputs to come.
    """

    def __init__(self, conv: nn.Conv3d, input_shape: list[int]) -> None:
        super().__init__()
        clips, channels, frames, height, width = input_shape
        depth, stride, padding = conv.kernel_size[0], conv.stride, [int(side) for side in conv.padding]
        self.over_time = depth > 1
        self.skip = 1 if self.over_time else stride[0]
        """A 1 x 1 x 1 shortcut also leaves frames out."""
        weight = conv.weight[..., 0] if self.over_time else conv.weight[:, :, 0]
        flat = nn.Conv2d(
            channels,
            conv.out_channels,
            (depth, 1) if self.over_time else (conv.kernel_size[1], conv.kernel_size[2]),
            stride=(stride[0], 1) if self.over_time else (stride[1], stride[2]),
            padding=(padding[0], 0) if self.over_time else (padding[1], padding[2]),
        ).requires_grad_(False)
        flat.weight = nn.Parameter(weight.contiguous(), requires_grad=False)
        flat.bias = conv.bias
        shape = (
            [clips, channels, frames, height * width] if self.over_time else [clips * frames, channels, height, width]
        )
        self.packed: Any = packed_conv(flat, shape)

    def forward(self, x: Tensor, *, then: str = "none") -> Tensor:
        """Convolve ``[clips, frames, height, width, channels]``, contiguous; so is the result."""
        return self._lifted(self.packed(self._flat(x), then=then), x)

    def add_relu_(self, x: Tensor, onto: Tensor) -> Tensor:
        """Convolve ``x``, add it to ``onto`` in place, ReLU."""
        return self._lifted(self.packed.add_relu_(self._flat(x), self._flat(onto, skip=1)), x)

    def _flat(self, x: Tensor, *, skip: int | None = None) -> Tensor:
        """As a channels-last batch of pictures, without copying unless frames are left out."""
        x = x[:, :: self.skip if skip is None else skip].contiguous()
        clips, frames, height, width, channels = x.shape
        pictures = (clips, frames, height * width) if self.over_time else (clips * frames, height, width)
        return x.view(*pictures, channels).permute(0, 3, 1, 2)

    def _lifted(self, flat: Tensor, x: Tensor) -> Tensor:
        last = flat.permute(0, 2, 3, 1).contiguous()
        if self.over_time:
            return last.view(x.shape[0], last.shape[1], x.shape[2], x.shape[3], last.shape[3])
        return last.view(x.shape[0], -1, *last.shape[1:])


def _flat_pair(space: nn.Conv3d, time: nn.Conv3d, shapes: dict[nn.Module, list[int]]) -> tuple[FlatConv3d, FlatConv3d]:
    """A convolution over frames and the one over time that reads its result.

    The channels between them, of which the paper's formula gives 45, 230, 460 and 921, are filled up with zeros to
    whole vectors: convolutions and products of odd sizes have no quick way.
    """
    missing = -space.out_channels % _WHOLE
    (clips, _, *places), bias = shapes[time], space.bias
    wider = _conv_with(
        space, pad(space.weight, (0, 0) * 4 + (0, missing)), None if bias is None else pad(bias, (0, missing))
    )
    deeper = _conv_with(time, pad(time.weight, (0, 0) * 3 + (0, missing)), time.bias)
    shape = [clips, space.out_channels + missing, *places]
    return FlatConv3d(wider, shapes[space]), FlatConv3d(deeper, shape)


def _conv_with(conv: nn.Conv3d, weight: Tensor, bias: Tensor | None) -> nn.Conv3d:
    """The same convolution with other weights."""
    other = deepcopy(conv)
    other.out_channels, other.in_channels = weight.shape[:2]
    other.weight = nn.Parameter(weight, requires_grad=False)
    other.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
    return other


class PackedStem(nn.Module):
    """The first two convolutions, each with its ReLU."""

    def __init__(self, stem: Any, shapes: dict[nn.Module, list[int]]) -> None:
        super().__init__()
        self.space, self.time = _flat_pair(stem[0], stem[3], shapes)

    def forward(self, x: Tensor) -> Tensor:
        """``[clips, channels, frames, height, width]`` to the same, channels last."""
        return _first(self.time(self.space(_last(x), then="relu"), then="relu"))


class PackedBlock(nn.Module):
    """Torchvision's video ``BasicBlock`` of two (2+1)-d convolutions. Overwrites its input where nothing is shrunk."""

    def __init__(self, block: Any, shapes: dict[nn.Module, list[int]]) -> None:
        super().__init__()
        self.space1, self.time1 = _flat_pair(block.conv1[0][0], block.conv1[0][3], shapes)
        self.space2, self.time2 = _flat_pair(block.conv2[0][0], block.conv2[0][3], shapes)
        self.shortcut = None
        if block.downsample is not None:
            self.shortcut = FlatConv3d(block.downsample[0], shapes[block.downsample[0]])

    def forward(self, x: Tensor) -> Tensor:
        """``[clips, channels, frames, height, width]`` to the same, channels last."""
        last = _last(x)
        inner = self.time1(self.space1(last, then="relu"), then="relu")
        onto = last if self.shortcut is None else self.shortcut(last)
        return _first(self.time2.add_relu_(self.space2(inner, then="relu"), onto))


def pack_r2plus1d(network: Any, example: Tensor) -> int:
    """Replace stem and blocks of torchvision's R(2+1)D whose batch norms are folded.

    Args:
        network: in eval mode, on the CPU, float32, channels last; changed in place.
        example: a batch of the usual size.

    Returns:
        How many parts were replaced; 0 where torch lacks the operators or they would change the output.
    """
    from torchvision.models.video.resnet import BasicBlock

    if not has_operators() or any(isinstance(part, nn.BatchNorm3d) for part in network.modules()):
        return 0
    return replace_parts(
        network,
        example,
        [(network, "stem", network.stem), *parts_of(network, BasicBlock)],
        nn.Conv3d,
        lambda name, part, shapes: (PackedStem if name == "stem" else PackedBlock)(part, shapes),
    )


def _last(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 4, 1).contiguous()


def _first(x: Tensor) -> Tensor:
    return x.permute(0, 4, 1, 2, 3)
