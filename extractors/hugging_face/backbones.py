"""Backbones on models of transformers: of single frames, of a second's frames, and of a second of sound."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from extractors.audio.waveform import sound_spec, waveform_on_grid
from extractors.base import Extractor, Frames, Units, Waveform
from extractors.frame_network import FrameNetwork, SecondNetwork, Triple, VisualNetwork
from extractors.hugging_face.model_types import ModelType, Output
from extractors.hugging_face.networks import build_network, read_configuration, tower
from extractors.hugging_face.pictures import Pictures, read_pictures
from extractors.hugging_face.sound_inputs import PREPARE, plain
from extractors.network_extractor import NetworkExtractor
from extractors.views import AudioView, FrameView
from extractors.weights.inventory import WeightsFile, model_files
from extractors.weights.loading import ResolvedWeights, WeightsSource
from extractors.weights.model_folders import WEIGHTS, local_folder, weights_url
from storage.errors import UnknownBackbone, WeightsError
from storage.foreign_files import reading
from storage.schema import FeatureSpec, Modality

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Model:
    """A model and what is read of it.

    Attributes:
        place: ``ORG/MODEL`` on the hub, or a folder.
        folder: with its configuration.
        model_type: of its configuration.
        kind: how such models are run.
        output: name of the output.
    """

    place: str
    folder: Path
    model_type: str
    kind: ModelType
    output: str

    @property
    def chosen(self) -> Output:
        """The output."""
        return self.kind.outputs[self.output]

    @property
    def weights_source(self) -> WeightsSource:
        """Its file."""
        if local_folder(self.place) is None:
            return WeightsSource(weights_url(self.place), WEIGHTS[0], repository=self.place)
        return WeightsSource("", WEIGHTS[0], repository=self.place)

    @property
    def description(self) -> str:
        """For the array."""
        length = ", L2-normalised" if self.kind.joint else ""
        return f"{Path(self.place).name} ({self.model_type}), {self.chosen.text}{length}"


class ModelBackbone(Extractor):
    """What the three kinds share. Importing transformers takes seconds, so its facts are read when first asked for.

    Args:
        model: what is run.
        options: see :class:`Extractor`.
    """

    def __init__(self, *, model: Model, **options: Any) -> None:
        super().__init__(**options)
        self.model = model

    @cached_property
    def config(self) -> Any:
        """The network's configuration, as transformers has it."""
        return read_configuration(self.model.folder, self.model.kind, name=self.name)

    @property
    def weights_source(self) -> WeightsSource:
        """The model's file."""
        return self.model.weights_source

    @property
    def weights_files(self) -> tuple[WeightsFile, ...]:
        """The model's configuration and its weights."""
        return model_files(self.model.place)

    @property
    def facts(self) -> Mapping[str, Any]:
        """For the provenance: what is read of which network."""
        return {"model_type": self.model.model_type, "output": self.model.output}

    def network(self, weights: ResolvedWeights) -> nn.Module:
        """The network whose output is the feature."""
        return tower(build_network(self.config, self.model.kind, weights), self.model.chosen.read)

    def unit_length(self, output: Tensor) -> Tensor:
        """Features that are compared with texts are brought to length 1, in float32."""
        if not self.model.kind.joint:
            return output
        from torch.nn.functional import normalize

        return normalize(output.float(), dim=-1)


class PictureBackbone(ModelBackbone, VisualNetwork):
    """A backbone on pixels, prepared as the model's own processor does it with Pillow."""

    @property
    def describes(self) -> str:
        """In one line."""
        return self.model.description

    @cached_property
    def pictures(self) -> Pictures:
        """What its processor does to a picture."""
        return read_pictures(self.model.folder, name=self.name, processor=self.model.kind.processor)

    @property
    def normalisation(self) -> tuple[Triple, Triple]:
        """The model's own."""
        return self.pictures.mean, self.pictures.std

    @property
    def dim(self) -> int:
        """Values a step."""
        return self.model.chosen.size(self.config, self.pictures.view.size)

    @property
    def preprocessing(self) -> Mapping[str, Any]:
        """The view, the normalisation, and what is read."""
        return {**super().preprocessing, **self.facts}

    def build(self) -> nn.Module:
        """Not used: :meth:`ModelBackbone.network` builds through transformers."""
        raise NotImplementedError

    def head(self, output: Tensor) -> Tensor:
        """See :meth:`ModelBackbone.unit_length`."""
        return self.unit_length(output)


class ModelOfFrames(PictureBackbone, FrameNetwork):  # type: ignore[override]
    """One feature a frame; one frame a second where features are compared with texts, else eight, or ``@Nfps``."""

    cpu_batch: ClassVar[int] = 8
    gpu_batch: ClassVar[int] = 256

    @property
    def rate(self) -> int:
        """Frames a second."""
        return self.frames_per_second or (1 if self.model.kind.joint else self.default_frames_per_second)

    @property
    def view(self) -> FrameView:
        """The processor's, at the rate."""
        return replace(self.pictures.view, frames_per_second=self.rate)


class ModelOfSeconds(PictureBackbone, SecondNetwork):  # type: ignore[override]
    """One feature a second, of a stack of its frames: as many as the network takes, evenly spaced."""

    cpu_batch: ClassVar[int] = 2
    gpu_batch: ClassVar[int] = 32

    @property
    def frames_per_segment(self) -> int:
        """The network's number, or ``@Nfps`` where it takes any.

        Raises:
            UnknownBackbone: If it does not take that number.
        """
        kind, asked = self.model.kind, self.frames_per_second
        if kind.frames is None:
            raise NotImplementedError(f"{self.model.model_type}: stacks need a number of frames")
        own = kind.frames(self.config)
        if asked is None or asked == own:
            return own
        if kind.frames_multiple is None:
            raise UnknownBackbone(f"backbone {self.name!r}: the network takes {own} frames a second, not {asked}")
        if asked % kind.frames_multiple(self.config):
            multiple = kind.frames_multiple(self.config)
            raise UnknownBackbone(f"backbone {self.name!r}: {asked} frames are no multiple of {multiple}")
        return asked

    @property
    def view(self) -> FrameView:
        """The processor's, with a stack's frames spread over a second."""
        return replace(self.pictures.view, frames_per_second=self.frames_per_segment)


class ModelOfSound(ModelBackbone, NetworkExtractor):
    """One feature a second of sound, prepared by the model's own feature extractor.

    A second that the clip does not fill is padded with zeros; one that it covers by less than half is not run.
    """

    modality: ClassVar[Modality] = "audio"
    cpu_batch: ClassVar[int] = 4
    gpu_batch: ClassVar[int] = 64

    @cached_property
    def feature_extractor(self) -> Any:
        """Of transformers, from the model's configuration."""
        import transformers

        folder, remedy = self.model.folder, "Put the model's preprocessor_config.json there"
        with reading(folder, "no feature extractor that transformers can read", error=WeightsError, remedy=remedy):
            kind = getattr(transformers, self.model.kind.processor)
            return kind.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)

    @property
    def sample_rate_hz(self) -> int:
        """The model's own."""
        return int(self.feature_extractor.sampling_rate)

    @property
    def view(self) -> AudioView:
        """Mono at the model's rate."""
        return AudioView(self.sample_rate_hz)

    @cached_property
    def unit_shape(self) -> tuple[int, ...]:
        """What the feature extractor makes of a second."""
        return self._prepared(np.zeros((1, self.sample_rate_hz), dtype=np.float32)).shape[1:]

    @property
    def specs(self) -> tuple[FeatureSpec, ...]:
        """One array, a step for each second."""
        return (sound_spec(self, dim=self.model.chosen.size(self.config, 0), description=self.model.description),)

    @property
    def preprocessing(self) -> Mapping[str, Any]:
        """The view, who prepares a second, and what is read."""
        return {**self.view.to_json(), "feature_extractor": self.model.kind.processor, **self.facts}

    def build_loaded(self, weights: ResolvedWeights) -> nn.Module:
        """See :meth:`NetworkExtractor.build_loaded`."""
        return self.network(weights)

    def units(self, clip: Frames | Waveform) -> Units:
        """What the feature extractor makes of each second, ``[segments, ...]`` float32."""
        rate = self.sample_rate_hz
        sound = waveform_on_grid(clip, name=self.name, sample_rate_hz=rate, seconds=self.clip_seconds)
        prepared = self._prepared(sound.samples.reshape(self.clip_seconds, rate))
        return Units(prepared, sound.segment_valid(self.clip_seconds))

    def compute(self, network: Any, batch: Tensor) -> tuple[Tensor, ...]:
        """See :meth:`NetworkExtractor.compute`."""
        from extractors.engines.casting import for_network

        return (self.unit_length(network(for_network(network, batch))),)

    def _prepared(self, seconds: np.ndarray[Any, np.dtype[np.float32]]) -> np.ndarray[Any, np.dtype[np.float32]]:
        return PREPARE.get(self.model.kind.processor, plain)(self.feature_extractor, seconds)
