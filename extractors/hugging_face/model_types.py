"""The types of transformers models that are offered: which class runs them, and which of its outputs is the feature."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from storage.schema import Modality

if TYPE_CHECKING:
    from torch import Tensor

Sees = Literal["frame", "frames", "sound"]
Read = Callable[[Any, "Tensor"], "Tensor"]
"""From a network and its input to ``[units, dim]``."""
Size = Callable[[Any, int], int]
"""From a network's configuration and the height of its pictures to the values of a step."""


@dataclass(frozen=True)
class Output:
    """One way to read a feature off a network.

    Attributes:
        read: runs the network and gives ``[units, dim]``.
        size: of it, by the configuration.
        text: what it is, for the array's description.
    """

    read: Read
    size: Size
    text: str


@dataclass(frozen=True)
class ModelType:
    """How the models of one ``model_type`` are run.

    Attributes:
        network: class of transformers.
        sees: a frame, a second's frames, or a second of sound.
        outputs: by name, as ``hf:ORG/MODEL:NAME`` asks for them; the first is the default.
        part: attribute of the configuration that is the network's own, such as ``vision_config``; empty for all of it.
        arguments: further ones of the class.
        joint: whether features share a space with texts: they have length 1, and there is one a second.
        frames: frames that a stack has, by the configuration.
        frames_multiple: what another number of frames must be a multiple of, by the configuration; ``None`` where the
            number is fixed.
        processor: class of transformers that prepares videos or sound; pictures' processors name their class.
        kept: takes out of the loaded network what the outputs need.
    """

    network: str
    sees: Sees
    outputs: Mapping[str, Output]
    part: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    joint: bool = False
    frames: Callable[[Any], int] | None = None
    frames_multiple: Callable[[Any], int] | None = None
    processor: str = ""
    kept: Callable[[Any], Any] = lambda network: network

    @property
    def modality(self) -> Modality:
        """``audio`` or ``visual``."""
        return "audio" if self.sees == "sound" else "visual"


def _width(config: Any, _height: int) -> int:
    return int(config.hidden_size)


def _last_width(config: Any, _height: int) -> int:
    return int(config.hidden_sizes[-1])


def _projected(config: Any, _height: int) -> int:
    return int(config.projection_dim)


def _first_token(network: Any, pixels: Tensor) -> Tensor:
    return network(pixel_values=pixels).last_hidden_state[:, 0]  # type: ignore[no-any-return]


def _pooled(network: Any, pixels: Tensor) -> Tensor:
    return network(pixel_values=pixels).pooler_output  # type: ignore[no-any-return]


def _mean_of_all(network: Any, pixels: Tensor) -> Tensor:
    return network(pixel_values=pixels).last_hidden_state.mean(dim=1)  # type: ignore[no-any-return]


def _transformer(*, before: Callable[[Any], int]) -> dict[str, Output]:
    """Outputs of a vision transformer.

    Args:
        before: tokens that stand before the patches, by the configuration.
    """

    def patches(network: Any, pixels: Tensor) -> Tensor:
        return network(pixel_values=pixels).last_hidden_state[:, before(network.config) :]  # type: ignore[no-any-return]

    def count(config: Any, height: int) -> int:
        return (height // int(config.patch_size)) ** 2 * int(config.hidden_size)

    return {
        "cls": Output(_first_token, _width, "class token after the last norm"),
        "mean": Output(lambda network, pixels: patches(network, pixels).mean(dim=1), _width, "mean of patch tokens"),
        "tokens": Output(
            lambda network, pixels: patches(network, pixels).flatten(1),
            count,
            "patch tokens, row by row, channels last",
        ),
    }


def _second(read: Read) -> Read:
    """As ``read``, of ``[seconds, 3, frames, height, width]``: transformers has the frames before the channels."""
    return lambda network, pixels: read(network, pixels.transpose(1, 2))


def _video_features(network: Any, pixels: Tensor) -> Tensor:
    hidden = network(pixel_values_videos=pixels, skip_predictor=True).last_hidden_state
    return hidden.mean(dim=1)  # type: ignore[no-any-return]


_ONE = _transformer(before=lambda config: 1)
_TWO = _transformer(before=lambda config: 2)
_REGISTERS = _transformer(before=lambda config: 1 + int(config.num_register_tokens))
_NO_POOLER = {"add_pooling_layer": False}
_POOLED = {"pooled": Output(_pooled, _width, "pooled output")}
_POOLED_LAST = {"pooled": Output(_pooled, _last_width, "pooled output of the last stage")}
_IMAGE = {
    "embedding": Output(
        lambda network, pixels: network(pixel_values=pixels).image_embeds, _projected, "image embedding"
    )
}
_SIGLIP = {"embedding": Output(_pooled, _width, "image embedding")}
_VIDEO_MEAN = {"mean": Output(_second(_mean_of_all), _width, "mean of tokens")}
_VIDEO_CLS = {"cls": Output(_second(_first_token), _width, "class token")}
_VIDEO_MAE = ModelType(
    "VideoMAEModel",
    "frames",
    _VIDEO_MEAN,
    frames=lambda config: int(config.num_frames),
    processor="VideoMAEVideoProcessor",
)

PICTURES: Mapping[str, ModelType] = {
    "vit": ModelType("ViTModel", "frame", _ONE, arguments=_NO_POOLER),
    "deit": ModelType("DeiTModel", "frame", _TWO, arguments=_NO_POOLER),
    "dinov2": ModelType("Dinov2Model", "frame", _ONE),
    "dinov2_with_registers": ModelType("Dinov2WithRegistersModel", "frame", _REGISTERS),
    "dinov3_vit": ModelType("DINOv3ViTModel", "frame", _REGISTERS),
    "dinov3_convnext": ModelType("DINOv3ConvNextModel", "frame", _POOLED_LAST),
    "convnext": ModelType("ConvNextModel", "frame", _POOLED_LAST),
    "convnextv2": ModelType("ConvNextV2Model", "frame", _POOLED_LAST),
    "swin": ModelType("SwinModel", "frame", _POOLED),
    "swinv2": ModelType("Swinv2Model", "frame", _POOLED),
    "clip": ModelType("CLIPVisionModelWithProjection", "frame", _IMAGE, part="vision_config", joint=True),
    "clip_vision_model": ModelType("CLIPVisionModelWithProjection", "frame", _IMAGE, joint=True),
    "siglip": ModelType("SiglipVisionModel", "frame", _SIGLIP, part="vision_config", joint=True),
    "siglip_vision_model": ModelType("SiglipVisionModel", "frame", _SIGLIP, joint=True),
}
VIDEOS: Mapping[str, ModelType] = {
    "videomae": _VIDEO_MAE,
    "timesformer": ModelType(
        "TimesformerModel", "frames", _VIDEO_CLS, frames=lambda config: int(config.num_frames),
        processor="TimesformerVideoProcessor",
    ),
    "vivit": ModelType(
        "VivitModel", "frames", _VIDEO_CLS, arguments=_NO_POOLER, frames=lambda config: int(config.num_frames),
        processor="VivitVideoProcessor",
    ),
    "vjepa2": ModelType(
        "VJEPA2Model", "frames", {"mean": Output(_second(_video_features), _width, "mean of the encoder's tokens")},
        frames=lambda config: min(int(config.frames_per_clip), 16),
        frames_multiple=lambda config: int(config.tubelet_size), processor="VJEPA2VideoProcessor",
    ),
}  # fmt: skip
