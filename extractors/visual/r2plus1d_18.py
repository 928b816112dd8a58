"""R(2+1)D-18 features of every second, as HAN, MM-Pyr, VALOR and LEAP use them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from extractors.frame_network import SecondNetwork, Triple
from extractors.views import FrameView
from extractors.weights.loading import WeightsSource

if TYPE_CHECKING:
    from torch import nn

FRAMES_PER_SEGMENT = 8


class R2Plus1D18(SecondNetwork):
    """Torchvision's R(2+1)D-18 with Kinetics-400 weights on stacks of 8 frames: 10 x 512 for 10 s.

    Source: Tran et al., A closer look at spatiotemporal convolutions, CVPR 2018; preprocessing of AVVP-ECCV20,
    which squashes frames to 112 x 112, where torchvision's own transform resizes to 128 x 171 and crops.
    """

    describes: ClassVar[str] = "R(2+1)D-18 (Kinetics-400) pooled features of each second, 8 frames at 8 FPS"
    cpu_batch: ClassVar[int] = 2
    gpu_batch: ClassVar[int] = 64
    dim = 512
    normalisation: tuple[Triple, Triple] = ((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989))

    @property
    def view(self) -> FrameView:
        """Squashed to 112 x 112, bilinear, 8 FPS."""
        return FrameView(FRAMES_PER_SEGMENT, 112, "squash", interpolation="bilinear")

    @property
    def frames_per_segment(self) -> int:
        """Eight."""
        return FRAMES_PER_SEGMENT

    @property
    def weights_source(self) -> WeightsSource:
        """Torchvision's ``R2Plus1D_18_Weights.KINETICS400_V1``."""
        name = "r2plus1d_18-91a641e6.pth"
        return WeightsSource(f"https://download.pytorch.org/models/{name}", name, sha256="91a641e6", megabytes=126.2)

    def build(self) -> nn.Module:
        """With its classifier, as the file has it."""
        from torchvision.models.video import r2plus1d_18

        return r2plus1d_18()  # type: ignore[no-any-return]

    def finish(self, network: Any) -> nn.Module:
        """Take the classifier off."""
        from torch import nn

        network.fc = nn.Identity()
        return network  # type: ignore[no-any-return]
