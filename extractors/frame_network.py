"""Base classes of visual backbones: uint8 pixels in, normalised on the device, one feature vector a unit out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from extractors.base import MIN_SEGMENT_COVER, Frames, Units, Waveform
from extractors.network_extractor import NetworkExtractor
from extractors.views import FrameView
from extractors.weights.loading import ResolvedWeights, apply_weights
from storage.errors import InvalidInput
from storage.schema import FeatureSpec, Modality

if TYPE_CHECKING:
    from torch import Tensor, nn

Triple = tuple[float, float, float]

IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)


class VisualNetwork(NetworkExtractor):
    """A network on pixels. A subclass gives its view, its mean and std, its size, and builds it.

    Units are ``[..., height, width, 3]`` uint8; the network sees ``[units, 3, ..., height, width]``, scaled to [0, 1]
    and normalised in float32.
    """

    modality: ClassVar[Modality] = "visual"
    unit_dtype: ClassVar[str] = "uint8"
    state_prefix: ClassVar[str] = ""
    state_ignore: ClassVar[tuple[str, ...]] = ()
    float32_parts: ClassVar[tuple[str, ...]] = ("pixel_mean", "pixel_std")

    @property
    @abstractmethod
    def view(self) -> FrameView:
        """The frames it wants."""

    @property
    @abstractmethod
    def dim(self) -> int:
        """Values a step."""

    @property
    @abstractmethod
    def normalisation(self) -> tuple[Triple, Triple]:
        """Mean and standard deviation of each channel, on the [0, 1] scale."""

    @abstractmethod
    def build(self) -> nn.Module:
        """The network in the official file's names, without values; its output is ``[units, dim]``.

        A classifier that the file has stays on, to be taken off in :meth:`finish`.
        """

    def fill(self, network: nn.Module, weights: ResolvedWeights) -> None:
        """Give the built network its values.

        Raises:
            WeightsError: If names are missing or unexpected, or shapes differ.
        """
        apply_weights(network, weights, prefix=self.state_prefix, ignore=self.state_ignore)

    def finish(self, network: nn.Module) -> nn.Module:
        """Turn the loaded network into one that gives features."""
        return network

    @property
    def preprocessing(self) -> Mapping[str, Any]:
        """The view, and the normalisation after it."""
        mean, std = self.normalisation
        return {**self.view.to_json(), "scale": 1 / 255, "mean": list(mean), "std": list(std)}

    def network(self, weights: ResolvedWeights) -> nn.Module:
        """The network that gives features, with its weights."""
        from extractors.engines import runtime

        with runtime.skipped_initialisation():
            network = self.build()
        self.fill(network, weights)
        return self.finish(network.eval()).eval()

    def build_loaded(self, weights: ResolvedWeights) -> nn.Module:
        """See :meth:`NetworkExtractor.build_loaded`."""
        import torch

        network = self.network(weights)
        for name, values in zip(("pixel_mean", "pixel_std"), self.normalisation, strict=True):
            network.register_buffer(name, torch.tensor(values), persistent=False)
        return network

    @property
    def unit_shape(self) -> tuple[int, ...]:
        """Shape of one unit, ``[..., height, width, 3]``."""
        return (self.view.size, self.view.size, 3)

    def compute(self, network: Any, batch: Tensor) -> tuple[Tensor, ...]:
        """See :meth:`NetworkExtractor.compute`; ``batch`` is uint8."""
        from extractors.engines.casting import for_network

        shape = (3, *[1] * (batch.ndim - 2))
        pixels = batch.movedim(-1, 1).float() / 255
        pixels = (pixels - network.pixel_mean.view(shape)) / network.pixel_std.view(shape)
        return (self.head(network(for_network(network, pixels))),)

    def head(self, output: Tensor) -> Tensor:
        """From the network's output, which may be of a half type, to ``[units, dim]``."""
        return output

    def _pixels(self, clip: Frames | Waveform) -> Frames:
        """The clip, if it is frames of this view."""
        view = self.view
        if not isinstance(clip, Frames):
            raise InvalidInput(f"{self.name}: expected frames, got {type(clip).__name__}")
        expected = (view.frames(self.clip_seconds), view.size, view.size, 3)
        if clip.pixels.shape != expected or clip.pixels.dtype != np.uint8:
            got = f"{clip.pixels.dtype} {list(clip.pixels.shape)}"
            raise InvalidInput(f"{self.name}: expected frames uint8 {list(expected)}, got {got}")
        return clip


class SecondNetwork(VisualNetwork):
    """A network run on the frames of each second: a unit is a second's frames, and so is a step.

    A second that the clip covers by at least half is run; its frames past the end repeat the last valid one.
    """

    describes: ClassVar[str] = ""

    @property
    @abstractmethod
    def frames_per_segment(self) -> int:
        """Frames of a second."""

    @property
    def unit_shape(self) -> tuple[int, ...]:
        """A second's frames, ``[frames, height, width, 3]``."""
        return (self.frames_per_segment, *super().unit_shape)

    @property
    def specs(self) -> tuple[FeatureSpec, ...]:
        """One array, a step for each second."""
        return (
            FeatureSpec(
                self.array_name,
                steps=self.clip_seconds,
                dim=self.dim,
                modality="visual",
                step_seconds=1.0,
                description=self.describes,
            ),
        )

    def units(self, clip: Frames | Waveform) -> Units:
        """Stacks of the frames of each second."""
        frames = self._pixels(clip)
        pixels, valid = frames.pixels, frames.valid
        if valid.any() and not valid.all():
            last_valid = np.maximum.accumulate(np.where(valid, np.arange(len(valid)), 0))
            pixels = pixels[last_valid]
        cover = valid.reshape(self.clip_seconds, self.frames_per_segment).mean(axis=1)
        return Units(pixels.reshape(self.clip_seconds, *self.unit_shape), cover >= MIN_SEGMENT_COVER)


class FrameNetwork(VisualNetwork):
    """A network run on each frame: a unit is a frame, and so is a step."""

    allows_frame_rate: ClassVar[bool] = True
    default_frames_per_second: ClassVar[int] = 8
    describes: ClassVar[str] = ""

    @property
    def rate(self) -> int:
        """Frames a second: the backbone's own, or what ``@Nfps`` asked for."""
        return self.frames_per_second or self.default_frames_per_second

    @property
    def specs(self) -> tuple[FeatureSpec, ...]:
        """One array, a step for each frame."""
        return (
            FeatureSpec(
                self.array_name,
                steps=self.rate * self.clip_seconds,
                dim=self.dim,
                modality="visual",
                step_seconds=1 / self.rate,
                description=self.describes,
            ),
        )

    def units(self, clip: Frames | Waveform) -> Units:
        """Each frame."""
        frames = self._pixels(clip)
        return Units(frames.pixels, frames.valid)
