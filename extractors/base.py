"""The base class of all backbones.

A backbone cuts a clip into *units* (a frame, a stack of eight frames, one second of sound), runs its
network over batches of units, and assembles the outputs of a clip's units into its feature arrays.
The engine fills batches with units of several clips; nothing here knows about files or stores.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from extractors.views import AudioView, FrameView
from extractors.windows import Windows
from storage.errors import UnknownBackbone
from storage.schema import FeatureSpec, Modality

if TYPE_CHECKING:
    from torch import Tensor

    from extractors.weights.inventory import WeightsFile
    from extractors.weights.loading import ResolvedWeights, WeightsSource

MIN_SEGMENT_COVER = 0.5
"""A segment is valid when at least this share of it lies inside the clip."""


@dataclass(frozen=True)
class Frames:
    """Frames of one clip on its time grid, already in a backbone's view.

    Attributes:
        pixels: ``[frames, height, width, 3]`` uint8 RGB; rows that are not valid repeat the last valid one.
        valid: ``[frames]`` bool, false past the end of a short clip.
        frames_per_second: the grid's rate; frame ``k`` stands at ``k / frames_per_second`` seconds.
    """

    pixels: NDArray[np.uint8]
    valid: NDArray[np.bool_]
    frames_per_second: int


@dataclass(frozen=True)
class Waveform:
    """Sound of one clip on its time grid, mono.

    Attributes:
        samples: ``[samples]`` float32 in [-1, 1]; zeros past the end of a short clip.
        sample_rate_hz: samples a second.
        valid_samples: how many samples lie inside the clip.
    """

    samples: NDArray[np.float32]
    sample_rate_hz: int
    valid_samples: int

    def segment_valid(self, segments: int) -> NDArray[np.bool_]:
        """Which one-second segments the clip covers by at least half. Returns ``[segments]`` bool."""
        covered = self.valid_samples / self.sample_rate_hz - np.arange(segments)
        return np.asarray(covered >= MIN_SEGMENT_COVER)

    def windows_valid(self, windows: Windows, *, clip_seconds: int) -> NDArray[np.bool_]:
        """Which windows the clip covers by at least half. Returns ``[windows]`` bool."""
        starts = np.arange(windows.count(clip_seconds)) * windows.hop_seconds
        covered = (self.valid_samples / self.sample_rate_hz - starts) / windows.window_seconds
        return np.asarray(covered >= MIN_SEGMENT_COVER)


@dataclass(frozen=True)
class Units:
    """What a network is run on, for one clip.

    Attributes:
        data: ``[units, ...]``; all clips of a backbone have the same shape.
        valid: ``[units]`` bool; units that are not valid are never run.
    """

    data: NDArray[Any]
    valid: NDArray[np.bool_]


@dataclass(frozen=True)
class Features:
    """One clip's row of one feature array.

    Attributes:
        values: ``[steps, dim]``, NaN where not valid.
        valid: ``[steps]`` bool.
    """

    values: NDArray[np.float32]
    valid: NDArray[np.bool_]


class Extractor(ABC):
    """A backbone. Subclasses say what they need (`view`), what they give (`specs`) and how.

    Constructing one is cheap and touches neither torch nor the network; :meth:`load` builds the model.

    Args:
        name: the name it was asked for by, e.g. ``resnet152`` or ``clip:ViT-B-32/openai``.
        variant: the part after the prefix for parametrised names, else ``""``.
        clip_seconds: length of every clip, hence its number of segments.
        frames_per_second: overrides the frame rate where the backbone allows it (``name@8fps``).

    Attributes:
        precision: that it was loaded with.
    """

    code_version: ClassVar[str] = "1"
    modality: ClassVar[Modality]
    variants: ClassVar[tuple[str, ...]] = ()
    allows_frame_rate: ClassVar[bool] = False
    windows: Windows | None = None
    """Of an audio backbone that was asked for with ``@0.96s/0.48s``; ``None`` for one step a second."""
    file_digest: str = ""
    """Of a backbone in a file of the user's own: the first digits of the file's SHA-256."""
    origin: str = ""
    """The file of a backbone that is not ours, or the ``module:Class`` of the package that it comes from."""
    cpu_batch: ClassVar[int] = 16
    gpu_batch: ClassVar[int] = 128

    precision: str = "float32"

    def __init__(
        self, *, name: str, variant: str = "", clip_seconds: int = 10, frames_per_second: int | None = None
    ) -> None:
        if variant and self.variants and variant not in self.variants:
            base = name.partition(":")[0]
            choices = ", ".join([base, *(f"{base}:{known}" for known in self.variants)])
            raise UnknownBackbone(f"backbone {name!r}: no variant {variant!r}. Choose from: {choices}")
        self.name = name
        self.variant = variant
        self.clip_seconds = clip_seconds
        self.frames_per_second = frames_per_second

    def use_windows(self, windows: Windows) -> None:
        """Look at these windows of the sound instead of at each second. Called before anything else.

        Raises:
            UnknownBackbone: If the backbone cannot.
        """
        raise UnknownBackbone(f"backbone {self.name!r}: it has its own time grid; leave --window and --hop out")

    @property
    def array_name(self) -> str:
        """The name as a group in a store: ``clip:ViT-B-32/openai`` is ``clip_ViT-B-32_openai``.

        Of a file of the user's own it is the class, ``MyNet``.
        """
        return re.sub(r"[^A-Za-z0-9._-]+", "_", self.name.rpartition(".py:")[2])

    @property
    @abstractmethod
    def view(self) -> FrameView | AudioView:
        """The frames or samples it wants from the decoder."""

    @property
    @abstractmethod
    def specs(self) -> tuple[FeatureSpec, ...]:
        """The arrays it gives. The first is named after the backbone."""

    def backbone_of(self, array: str) -> str:
        """The backbone that an array is recorded under, by name: the one that gives it alone, where there is one.

        Of a file of the user's own it names no folder, so that the array is the same on another machine.
        """
        file, separator, rest = self.name.rpartition(".py:")
        return re.split(r"[/\\]", file)[-1] + separator + rest

    @property
    def code_identity(self) -> str:
        """What tells this code from other code of the same name: its version, and the content of a user's own file."""
        return f"{self.code_version}, file {self.file_digest}" if self.file_digest else self.code_version

    @property
    @abstractmethod
    def weights_source(self) -> WeightsSource:
        """Where its official weights are published."""

    @property
    def weights_files(self) -> tuple[WeightsFile, ...]:
        """The official files that it needs, and whether they are at hand."""
        from extractors.weights.inventory import published_file

        return (published_file(self.weights_source),)

    @property
    def preprocessing(self) -> Mapping[str, Any]:
        """Facts for the provenance: the view, and what follows it."""
        return self.view.to_json()

    def choose_engine(
        self, engine: str, weights: ResolvedWeights, *, device: str, precision: str, compiled: bool = False
    ) -> str:
        """Turn ``auto``, ``torch`` or ``openvino`` into the engine that runs these weights.

        Args:
            engine: as the user asked for it.
            weights: that will be loaded.
            device: ``cpu`` or ``cuda:N``.
            precision: ``float32``, ``tf32``, ``bfloat16`` or ``float16``.
            compiled: whether the network is to run through ``torch.compile``.

        Returns:
            For :meth:`load`; by default :func:`extractors.engines.selection.pick_engine`'s choice.

        Raises:
            InvalidInput: If that engine cannot run them.
        """
        from extractors.engines.selection import pick_engine

        return pick_engine(engine, device=device, precision=precision, compiled=compiled)

    @abstractmethod
    def load(
        self, weights: ResolvedWeights, *, device: str = "cpu", precision: str = "float32", engine: str = "torch"
    ) -> None:
        """Build the network on ``device`` with ``weights``; afterwards :meth:`forward` may be called.

        Args:
            weights: as :func:`extractors.weights.loading.resolve` finds them.
            device: ``cpu`` or ``cuda:N``.
            precision: ``float32``, ``tf32``, ``bfloat16`` or ``float16``.
            engine: ``torch`` or ``openvino``, what runs the network; see :mod:`extractors.engines`.

        Raises:
            WeightsError: If keys are missing or unexpected, by name.
        """

    @abstractmethod
    def units(self, clip: Frames | Waveform) -> Units:
        """Cut a clip into units."""

    @abstractmethod
    def forward(self, batch: Tensor) -> tuple[Tensor, ...]:
        """Run the network.

        Args:
            batch: ``[units, ...]`` as :meth:`units` gives them, on any device.

        Returns:
            One float32 tensor ``[units, ...]`` for each kind of output, on the network's device.
        """

    def assemble(self, outputs: Sequence[NDArray[np.float32]], valid: NDArray[np.bool_]) -> dict[str, Features]:
        """Turn the outputs of a clip's units into its feature arrays.

        Args:
            outputs: one array ``[valid units, ...]`` for each output of :meth:`forward`, in unit order.
            valid: ``[units]`` bool.

        Returns:
            Features by spec name. The default puts unit ``i`` in step ``i`` of the only array.

        Raises:
            ValueError: If the outputs are not what the spec announces.
        """
        (spec,) = self.specs
        expected = (int(valid.sum()), spec.dim)
        if len(outputs) != 1 or outputs[0].shape != expected:
            got = ", ".join(str(list(output.shape)) for output in outputs)
            raise ValueError(f"the network gave {got}, but {spec.name} has {spec.dim} values a step: {list(expected)}")
        values = np.full((spec.steps, spec.dim), np.nan, dtype=np.float32)
        values[valid] = outputs[0]
        return {spec.name: Features(values, valid.copy())}

    def empty(self) -> dict[str, Features]:
        """The rows of a clip that lacks this modality: NaN, nothing valid."""
        return {
            spec.name: Features(
                np.full((spec.steps, spec.dim), np.nan, dtype=np.float32), np.zeros(spec.steps, dtype=bool)
            )
            for spec in self.specs
        }

    def extract(self, clips: Sequence[Frames | Waveform], *, batch_units: int = 16) -> list[dict[str, Features]]:
        """Run whole clips, units batched across them. For a few clips in a notebook; runs use the engine."""
        from extractors.engines.batches import run_batched

        units = [self.units(clip) for clip in clips]
        if not units:
            return []
        flat = np.concatenate([u.data[u.valid] for u in units])
        joined = run_batched(self.forward, flat, batch_units=batch_units, name=self.name, precision=self.precision)
        rows, at = [], 0
        for u in units:
            count = int(u.valid.sum())
            rows.append(self.assemble([o[at : at + count] for o in joined], u.valid) if count else self.empty())
            at += count
        return rows
