"""VGG-19 feature maps of every second, averaged over its frames: what audio-visual event localization reads."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, ClassVar

from extractors.frame_network import IMAGENET_MEAN, IMAGENET_STD, SecondNetwork, Triple
from extractors.views import FrameView
from extractors.weights.loading import WeightsSource

if TYPE_CHECKING:
    from torch import Tensor, nn

FRAMES_PER_SEGMENT = 16
GRID, CHANNELS = 7, 512


class Vgg19Pool5(SecondNetwork):
    """Torchvision's VGG-19 with ImageNet V1 weights up to pool5, mean of 16 frames a second: 10 x 25088 for 10 s.

    A step is the map of a second, row by row with its channels last, so ``reshape(10, 7, 7, 512)`` gives the shape of
    the published AVE features.

    What is known of the published recipe: VGG-19, ImageNet, pool5, 16 frames a second, their mean. Which frames of a
    second, how they were resized and which weights is in scripts that were not at hand; the repository asks for Keras,
    whose VGG-19 has other weights than torchvision's and takes other pixel values. So these features are of the same
    kind as the published ones, and not equal to them. Frames are squashed here, so that the map covers all of the
    picture; ``uniform`` sampling spreads the 16 evenly. ``published`` sampling repeats LLP's scripts, not AVE's: at 16
    frames a second it shows most frames twice.

    Source: Simonyan and Zisserman, Very deep convolutional networks for large-scale image recognition, ICLR 2015;
    Tian et al., Audio-visual event localization in unconstrained videos, ECCV 2018.
    """

    describes: ClassVar[str] = "VGG-19 (ImageNet V1) pool5 maps of each second, 7 x 7 x 512, mean over frames"
    allows_frame_rate: ClassVar[bool] = True
    cpu_batch: ClassVar[int] = 1
    gpu_batch: ClassVar[int] = 8
    dim = GRID * GRID * CHANNELS
    normalisation: tuple[Triple, Triple] = (IMAGENET_MEAN, IMAGENET_STD)
    state_ignore: ClassVar[tuple[str, ...]] = ("classifier.",)

    @property
    def frames_per_segment(self) -> int:
        """Sixteen, or what ``@Nfps`` asked for."""
        return self.frames_per_second or FRAMES_PER_SEGMENT

    @property
    def view(self) -> FrameView:
        """Squashed to 224 x 224, bilinear."""
        return FrameView(self.frames_per_segment, 224, "squash", interpolation="bilinear")

    @property
    def weights_source(self) -> WeightsSource:
        """Torchvision's ``VGG19_Weights.IMAGENET1K_V1``."""
        name = "vgg19-dcbb9e9d.pth"
        return WeightsSource(f"https://download.pytorch.org/models/{name}", name, sha256="dcbb9e9d", megabytes=574.7)

    def build(self) -> nn.Module:
        """The convolutions under the file's names; its classifier is left out."""
        from torch import nn
        from torchvision.models import vgg19

        return nn.Sequential(OrderedDict(features=vgg19().features))

    def compute(self, network: Any, batch: Tensor) -> tuple[Tensor, ...]:
        """See :meth:`NetworkExtractor.compute`; ``batch`` is ``[seconds, frames, height, width, 3]`` uint8."""
        (maps,) = super().compute(network, batch.flatten(0, 1))
        means = maps.float().unflatten(0, batch.shape[:2]).mean(dim=1)
        return (means.permute(0, 2, 3, 1).flatten(1),)
