"""A vision transformer of CLIP ViT-L/14's size out of torchvision, for machines without open_clip."""

from __future__ import annotations

from torch import nn
from torchvision.models.vision_transformer import VisionTransformer

from extractors.frame_network import IMAGENET_MEAN, IMAGENET_STD, FrameNetwork
from extractors.views import FrameView
from extractors.weights.loading import WeightsSource


class VitL14(FrameNetwork):
    """24 blocks of width 1024 on patches of 14 pixels."""

    default_frames_per_second = 1
    gpu_batch = 256
    dim = 1024
    normalisation = (IMAGENET_MEAN, IMAGENET_STD)
    weights_source = WeightsSource("", "")

    @property
    def view(self):
        return FrameView(self.rate, 224, "squash")

    def build(self):
        return VisionTransformer(
            image_size=224, patch_size=14, num_layers=24, num_heads=16, hidden_dim=1024, mlp_dim=4096
        )

    def finish(self, network):
        network.heads = nn.Identity()
        return network
