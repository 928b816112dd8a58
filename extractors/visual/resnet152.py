"""ResNet-152 features of every frame, as HAN, MM-Pyr, VALOR and LEAP use them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from extractors.frame_network import IMAGENET_MEAN, IMAGENET_STD, FrameNetwork, Triple
from extractors.views import FrameView
from extractors.weights.loading import WeightsSource

if TYPE_CHECKING:
    from torch import nn


class ResNet152(FrameNetwork):
    """Torchvision's ResNet-152 with ImageNet V1 weights, pooled: 80 x 2048 for 10 s at 8 FPS.

    The published features come from Cadene's ``pretrainedmodels``, which ship the same weights.

    Source: He et al., Deep residual learning for image recognition, CVPR 2016; preprocessing of AVVP-ECCV20.
    """

    describes: ClassVar[str] = "ResNet-152 (ImageNet V1) pooled features of each frame"
    dim = 2048
    cpu_batch: ClassVar[int] = 8
    normalisation: tuple[Triple, Triple] = (IMAGENET_MEAN, IMAGENET_STD)

    @property
    def view(self) -> FrameView:
        """Shorter side to 256, centre 224, bilinear."""
        return FrameView(self.rate, 224, "crop", short_side=256, interpolation="bilinear")

    @property
    def weights_source(self) -> WeightsSource:
        """Torchvision's ``ResNet152_Weights.IMAGENET1K_V1``."""
        name = "resnet152-394f9c45.pth"
        return WeightsSource(f"https://download.pytorch.org/models/{name}", name, sha256="394f9c45", megabytes=241.6)

    def build(self) -> nn.Module:
        """With its classifier, as the file has it."""
        from torchvision.models import resnet152

        return resnet152()  # type: ignore[no-any-return]

    def finish(self, network: Any) -> nn.Module:
        """Take the classifier off."""
        from torch import nn

        network.fc = nn.Identity()
        return network  # type: ignore[no-any-return]
