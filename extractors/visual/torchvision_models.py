"""``torchvision:NAME``: any classification network of torchvision, on frames or, for video networks, on seconds."""

from __future__ import annotations

import difflib
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from extractors.base import Extractor
from extractors.family import Family, FoundBackbone, matches
from extractors.frame_network import FrameNetwork, SecondNetwork, Triple, VisualNetwork
from extractors.views import FrameView
from extractors.weights.inventory import published_file
from extractors.weights.loading import WeightsSource
from storage.errors import UnknownBackbone

if TYPE_CHECKING:
    from torch import nn

FORM = (
    "torchvision:NAME or torchvision:NAME:WEIGHTS, e.g. torchvision:convnext_tiny, torchvision:swin3d_t:KINETICS400_V1"
)
VIDEO_NETWORKS = (
    "mc3_18", "mvit_v1_b", "mvit_v2_s", "r2plus1d_18", "r3d_18", "s3d", "swin3d_b", "swin3d_s", "swin3d_t",
)  # fmt: skip
FIXED_FRAMES = ("mvit_v1_b", "mvit_v2_s")
"""Their position codes are for one number of frames."""
FRAMES_PER_SEGMENT = 16
_NEAR = 3


class TorchvisionNetwork(VisualNetwork):
    """What image and video networks share: facts from torchvision's table of weights, and the head that goes."""

    @cached_property
    def weights(self) -> Any:
        """The entry of torchvision's table: the tag asked for, else torchvision's default.

        Raises:
            UnknownBackbone: If torchvision has no such network or weights; names the nearest.
        """
        return table_entry(self.name, self.variant)

    @property
    def model(self) -> str:
        """As torchvision calls it."""
        return self.variant.partition(":")[0]

    @cached_property
    def preset(self) -> Any:
        """The transform that comes with the weights."""
        return self.weights.transforms()

    @cached_property
    def dim(self) -> int:
        """What the classifier reads, from a network without values."""
        from extractors.engines.runtime import skipped_initialisation
        from extractors.visual.torchvision_heads import without_classifier

        with skipped_initialisation():
            return without_classifier(self.build(), name=self.name)[1]

    @property
    def normalisation(self) -> tuple[Triple, Triple]:
        """The weights' own."""
        return tuple(self.preset.mean), tuple(self.preset.std)

    @property
    def weights_source(self) -> WeightsSource:
        """The entry's file, whose name ends in the first digits of its sha256."""
        return source_of(self.weights)

    def build(self) -> nn.Module:
        """With its classifier, as the file has it."""
        from extractors.visual.torchvision_heads import build_for

        return build_for(self.model, self.weights)

    def finish(self, network: nn.Module) -> nn.Module:
        """Take the classifier off."""
        from extractors.visual.torchvision_heads import without_classifier

        return without_classifier(network, name=self.name)[0]


class TorchvisionImage(TorchvisionNetwork, FrameNetwork):
    """``torchvision:NAME``: the features that the classifier reads, of every frame at 8 FPS unless ``@Nfps``.

    Size, crop, interpolation, mean and standard deviation are those of the weights' own transform on PIL pictures.
    """

    cpu_batch: ClassVar[int] = 8

    @property
    def describes(self) -> str:  # type: ignore[override]
        """In one line."""
        return f"torchvision's {self.model} ({self.weights.name}), pooled features of each frame"

    @property
    def view(self) -> FrameView:
        """Shorter side to the transform's size, then its crop."""
        (size,), (short_side,) = self.preset.crop_size, self.preset.resize_size
        return FrameView(self.rate, size, "crop", short_side=short_side, interpolation=self.preset.interpolation.value)


class TorchvisionVideo(TorchvisionNetwork, SecondNetwork):
    """``torchvision:NAME`` for video networks: the features that the classifier reads, of each second.

    A unit is the frames of one second, evenly spaced: 16, the length of the clips that most of these networks were
    trained on, or more where the weights' table asks for more. ``@Nfps`` takes N, where the network can. The number
    is in the provenance as ``frames_per_segment``.

    Frames are prepared as the weights' own transform prepares uint8 tensors, without antialiasing: at most one grey
    level apart, in fewer than one value of a thousand. ``torchvision:r2plus1d_18`` so sees other pixels than
    ``r2plus1d_18``, which follows the published audio-visual features and squashes 8 frames.
    """

    allows_frame_rate: ClassVar[bool] = True
    cpu_batch: ClassVar[int] = 1
    gpu_batch: ClassVar[int] = 32

    @property
    def describes(self) -> str:  # type: ignore[override]
        """In one line."""
        count = self.frames_per_segment
        return f"torchvision's {self.model} ({self.weights.name}), pooled features of each second, {count} frames"

    @property
    def frames_per_segment(self) -> int:
        """Sixteen, or what ``@Nfps`` asked for.

        Raises:
            UnknownBackbone: If the network cannot take so many frames.
        """
        least = int(self.weights.meta.get("min_temporal_size", 1))
        own = max(FRAMES_PER_SEGMENT, least)
        asked = self.frames_per_second or own
        if asked < least or (self.model in FIXED_FRAMES and asked != own):
            wanted = f"{own} frames a second" if self.model in FIXED_FRAMES else f"at least {least} frames a second"
            raise UnknownBackbone(f"backbone {self.name!r}: {self.model} takes {wanted}, not {asked}")
        return asked

    @property
    def view(self) -> FrameView:
        """As the weights' transform: both sides or the shorter one resized without antialiasing, then its crop."""
        size, sides, rate = int(self.preset.crop_size[0]), self.preset.resize_size, self.frames_per_segment
        if len(sides) == 1:
            return FrameView(rate, size, "crop", short_side=int(sides[0]), antialias=False)
        return FrameView(rate, size, "squash", antialias=False, squashed_to=(int(sides[0]), int(sides[1])))

    @property
    def preprocessing(self) -> dict[str, Any]:
        """With the number of frames in a unit."""
        return {**super().preprocessing, "frames_per_segment": self.frames_per_segment}


class TorchvisionFamily(Family):
    """All classification networks of torchvision."""

    form: ClassVar[str] = FORM

    def create(self, name: str, variant: str, *, clip_seconds: int, frames_per_second: int | None) -> Extractor:
        """See :meth:`Family.create`; whether torchvision has it is looked up when its facts are first needed."""
        kind = TorchvisionVideo if variant.partition(":")[0] in VIDEO_NETWORKS else TorchvisionImage
        return kind(name=name, variant=variant, clip_seconds=clip_seconds, frames_per_second=frames_per_second)

    def search(self, pattern: str) -> list[FoundBackbone]:
        """See :meth:`Family.search`: every network, and every further set of weights by its tag."""
        from torchvision.models import get_model_weights

        found: dict[str, Any] = {}
        for model in networks():
            table = get_model_weights(model)
            found |= {f"{model}:{entry.name}": entry for entry in table if entry is not table.DEFAULT}
            found[model] = table.DEFAULT
        chosen = sorted(name for name in found if matches(name, pattern))
        return [_found(f"torchvision:{name}", found[name]) for name in chosen]


def _found(name: str, entry: Any) -> FoundBackbone:
    return FoundBackbone.with_files(name, "visual", [published_file(source_of(entry))])


def networks() -> list[str]:
    """Torchvision's classification networks, of images and of videos."""
    from torchvision import models

    return sorted([*models.list_models(module=models), *models.list_models(module=models.video)])


def table_entry(name: str, variant: str) -> Any:
    """Look a network's weights up in torchvision.

    Args:
        name: the backbone as it was asked for, for errors.
        variant: the network, and the tag of its weights after a colon.

    Raises:
        UnknownBackbone: If torchvision has no such network or weights.
    """
    from torchvision.models import get_model_weights

    model, _, tag = variant.partition(":")
    if model not in networks():
        near = ", ".join(difflib.get_close_matches(model, networks(), n=_NEAR, cutoff=0.4))
        hint = f"; nearest: {near}" if near else ""
        raise UnknownBackbone(
            f"backbone {name!r}: torchvision has no classification network {model!r}{hint}. Expected {FORM}"
        )
    table = get_model_weights(model)
    if tag and tag not in table.__members__:
        raise UnknownBackbone(
            f"backbone {name!r}: torchvision has no weights {tag!r} for {model}; it has {', '.join(table.__members__)}"
        )
    return table[tag] if tag else table.DEFAULT


def source_of(entry: Any) -> WeightsSource:
    """The file of an entry of torchvision's table."""
    url = str(entry.url)
    file = url.rpartition("/")[2]
    digits = file.rpartition(".")[0].rpartition("-")[2]
    size = float(entry.meta.get("_file_size", 0)) * 2**20 / 1e6
    return WeightsSource(url, file, sha256=digits, megabytes=round(size, 1))
