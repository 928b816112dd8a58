"""CLAP's audio tower: an embedding a second, and a feature map of the whole clip.

Source: Wu et al., Large-scale contrastive language-audio pretraining with feature fusion and keyword-to-caption
augmentation, ICASSP 2023, https://arxiv.org/abs/2211.06687; Chen et al., HTS-AT, ICASSP 2022,
https://arxiv.org/abs/2202.00874. The network is built from the ``laion_clap`` package's own classes.

VALOR uses it twice: the embedding of each second, against those of the class names, gives segment-level pseudo
labels; the last layer's feature map of the whole clip is the model input of VALOR++ and MM-CSE.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
import sys
import types
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from extractors.audio.clap_checkpoints import CHECKPOINTS, DEFAULT, Checkpoint, checkpoint_source
from extractors.audio.clap_log_mel import (
    INPUT_SAMPLES,
    SAMPLE_RATE_HZ,
    Bands,
    mel_decibels,
    nearest_samples,
    quantize,
    repeated_mel,
    repeated_second_mel,
)
from extractors.audio.waveform import check_windows, sound_spec, steps_valid, waveform_on_grid, windows_of
from extractors.base import Features, Frames, Units, Waveform
from extractors.network_extractor import NetworkExtractor
from extractors.views import AudioView
from extractors.weights.loading import ResolvedWeights, WeightsSource, apply_weights, load_state_dict
from extractors.windows import Windows
from storage.schema import FeatureSpec, Modality

if TYPE_CHECKING:
    from torch import Tensor, nn

EMBEDDING_DIM = 512
MAP_STEPS = 64

TEXT_KEYS = (
    "text_branch.",
    "text_projection.",
    "text_transform.",
    "audio_transform.",
    "logit_scale_a",
    "logit_scale_t",
)
"""Of the official checkpoint, what the audio tower leaves out: the text tower, the extra layers of training, scales."""

_PACKAGE = "_laion_clap_module"
"""The name under which laion-clap's inner package is imported, beside ``laion_clap`` itself."""


class Clap(NetworkExtractor):
    """LAION-CLAP: ``clap`` and ``clap_map``, or ``clap:<checkpoint>`` and its map for another published file.

    A clip has ``segments + 1`` units, each a log-mel spectrogram ``[1001, 64]``: one for each second, repeated to
    ten seconds, and one for the whole clip. No unit is longer than the network's input, so the fusion layers, which
    take random excerpts of longer sound, are never reached and nothing is random. Networks without them make the
    spectrogram themselves, with other bands; here it is made beside the sound for both.

    The published recipes see a clip's own samples only, and stretch a clip that is not exactly ten seconds long. Here
    both work on the clip's time grid: a short clip is padded with zeros, seconds that it covers by less than half
    are not run, and its map is valid as a whole.

    Attributes:
        logit_scale: what the checkpoint multiplies similarities of sounds and texts with,
            ``exp(logit_scale_a)``; ``None`` before :meth:`load`, or where the weights hold none.
    """

    modality: ClassVar[Modality] = "audio"
    variants: ClassVar[tuple[str, ...]] = tuple(CHECKPOINTS)
    cpu_batch: ClassVar[int] = 4
    gpu_batch: ClassVar[int] = 64
    float32_parts: ClassVar[tuple[str, ...]] = ("audio_branch.norm", "audio_projection")

    logit_scale: float | None = None

    @property
    def checkpoint(self) -> Checkpoint:
        """The published file that is meant."""
        return CHECKPOINTS[self.variant or DEFAULT]

    @property
    def bands(self) -> Bands:
        """Of the spectrogram."""
        return "htk" if self.checkpoint.fused else "slaney"

    @property
    def view(self) -> AudioView:
        """Mono at 48 kHz."""
        return AudioView(SAMPLE_RATE_HZ)

    @property
    def specs(self) -> tuple[FeatureSpec, ...]:
        """``clap``: ``[segments, 512]``. ``clap_map``: ``[64, 768]``, or 1024 of HTSAT-base; not with windows.

        The map does not depend on windows.
        """
        embedding = sound_spec(self, dim=EMBEDDING_DIM, description="CLAP embedding of each second, L2-normalised")
        if self.windows is not None:
            return (embedding,)
        return (
            embedding,
            FeatureSpec(
                f"{self.array_name}_map",
                MAP_STEPS,
                self.checkpoint.width,
                "audio",
                description="HTSAT feature map of the clip: step = 32 x frequency half (2) + time (32)",
            ),
        )

    @property
    def weights_source(self) -> WeightsSource:
        """LAION's file."""
        return checkpoint_source(self.variant or DEFAULT)

    @property
    def preprocessing(self) -> Mapping[str, Any]:
        """The view, and the spectrogram."""
        kind = "HTK" if self.checkpoint.fused else "Slaney"
        facts = {
            **self.view.to_json(),
            "quantized": "16 bits, cut off",
            "segments": "1 s repeated to 10 s",
            "map": "whole clip, nearest sample to 10 s",
            "mel": f"n_fft 1024, hop 480, 64 {kind} bands 50-14000 Hz, power, dB",
        }
        if self.windows is not None:
            del facts["map"]
            facts["segments"] = "windows repeated to 10 s, as often as they fit, then silence"
        return facts

    def use_windows(self, windows: Windows) -> None:
        """See :meth:`Extractor.use_windows`: up to 10 s, the network's input."""
        check_windows(windows, name=self.name, clip_seconds=min(self.clip_seconds, INPUT_SAMPLES // SAMPLE_RATE_HZ))
        self.windows = windows

    @property
    def unit_shape(self) -> tuple[int, ...]:
        """A spectrogram of ten seconds."""
        return (1001, 64)

    def load(
        self, weights: ResolvedWeights, *, device: str = "cpu", precision: str = "float32", engine: str = "torch"
    ) -> None:
        """See :meth:`Extractor.load`."""
        super().load(weights, device=device, precision=precision, engine=engine)
        state = {} if weights.path is None else load_state_dict(weights.path)
        self.logit_scale = math.exp(float(state["logit_scale_a"])) if "logit_scale_a" in state else None

    def build_loaded(self, weights: ResolvedWeights) -> nn.Module:
        """See :meth:`NetworkExtractor.build_loaded`."""
        from extractors.engines import runtime

        with runtime.skipped_initialisation():
            network = build_audio_tower(self.checkpoint)
        apply_weights(network, weights, ignore=TEXT_KEYS)
        return network

    def units(self, clip: Frames | Waveform) -> Units:
        """Spectrograms of each second and of the whole clip, ``[segments + 1, 1001, 64]`` float32 decibels.

        With windows, ``[windows, 1001, 64]``.
        """
        sound = waveform_on_grid(clip, name=self.name, sample_rate_hz=SAMPLE_RATE_HZ, seconds=self.clip_seconds)
        samples = quantize(sound.samples)
        if self.windows is not None:
            parts = windows_of(samples, self.windows, clip_seconds=self.clip_seconds, sample_rate_hz=SAMPLE_RATE_HZ)
            return Units(repeated_mel(parts, bands=self.bands), steps_valid(self, sound))
        seconds = repeated_second_mel(samples.reshape(self.clip_seconds, SAMPLE_RATE_HZ), bands=self.bands)
        whole = mel_decibels(nearest_samples(samples, count=INPUT_SAMPLES)[None], bands=self.bands)
        valid = sound.segment_valid(self.clip_seconds)
        return Units(np.concatenate([seconds, whole]), np.append(valid, valid.any()))

    def compute(self, network: Any, batch: Tensor) -> tuple[Tensor, ...]:
        """Run the audio tower.

        laion-clap stacks four copies of a spectrogram that is not longer than ten seconds and then reads the first,
        so one is enough; its classification head, which nothing here reads, is left out.

        Args:
            network: from :meth:`build_loaded`.
            batch: ``[units, 1001, 64]`` float32 decibels.

        Returns:
            Embeddings ``[units, 512]``, L2-normalised, and maps ``[units, 64, width]``, both float32.
        """
        from torch.nn.functional import normalize

        from extractors.engines.casting import for_network

        branch = network["audio_branch"]
        mel = batch[:, None]
        image = branch.reshape_wav2img(branch.bn0(mel.transpose(1, 3)).transpose(1, 3))
        tokens = branch.patch_embed(for_network(network, image), longer_idx=[])
        for layer in branch.layers:  # not called itself: it collects attention weights, which nothing here reads
            for block in layer.blocks:
                tokens, _ = block(tokens)
            if layer.downsample is not None:
                tokens = layer.downsample(tokens)
        feature_map = group_tokens(branch.norm(tokens.float()))
        embedding = network["audio_projection"](feature_map.mean(dim=1))
        return normalize(embedding, dim=-1), feature_map

    def assemble(self, outputs: Sequence[NDArray[np.float32]], valid: NDArray[np.bool_]) -> dict[str, Features]:
        """Embeddings of the seconds into ``clap``, the map of the last unit into ``clap_map``."""
        rows = self.empty()
        if self.windows is not None:
            (steps,) = rows.values()
            steps.values[valid], steps.valid[:] = outputs[0], valid
            return rows
        segments, feature_map = (rows[spec.name] for spec in self.specs)
        if valid[-1]:
            segments.values[valid[:-1]] = outputs[0][:-1]
            segments.valid[:] = valid[:-1]
            feature_map.values[:] = outputs[1][-1]
            feature_map.valid[:] = True
        return rows


def group_tokens(tokens: Tensor) -> Tensor:
    """Undo the folding of the spectrogram into a square image.

    HTSAT lays four stretches of time on top of each other; each is two tokens high and eight wide at the end.

    Args:
        tokens: ``[units, 64, width]``: place = 16 x stretch (4) + 8 x frequency (2) + time (8).

    Returns:
        ``[units, 64, width]``: step = 32 x frequency (2) + time (32).
    """
    return tokens.unflatten(1, (4, 2, 8)).transpose(1, 2).flatten(1, 3)  # type: ignore[no-any-return]


def build_audio_tower(checkpoint: Checkpoint) -> nn.ModuleDict:
    """``audio_branch`` and ``audio_projection`` of laion-clap's ``CLAP``, under its names, not yet filled."""
    from torch import nn

    package = import_clap_module()
    config = json.loads((Path(package.__path__[0]) / "model_configs" / checkpoint.configuration).read_text())
    htsat = importlib.import_module(f"{_PACKAGE}.htsat")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"torch\.meshgrid", category=UserWarning)
        fusion = "aff_2d" if checkpoint.fused else "None"
        branch = htsat.create_htsat_model(types.SimpleNamespace(**config["audio_cfg"]), checkpoint.fused, fusion)
    projection = nn.Sequential(
        nn.Linear(config["embed_dim"], EMBEDDING_DIM), nn.ReLU(), nn.Linear(EMBEDDING_DIM, EMBEDDING_DIM)
    )
    return nn.ModuleDict({"audio_branch": branch, "audio_projection": projection})


def import_clap_module() -> types.ModuleType:
    """Make laion-clap's inner package importable, without running ``laion_clap`` itself.

    ``import laion_clap`` reaches for three tokenizers on the hub and leaves its own folder on ``sys.path``, where
    its ``training`` and ``evaluate`` can shadow others; its ``clap_module`` pulls in the text towers. The files are
    there nevertheless: a package that stands for their folder lets single modules be imported, e.g. ``htsat``.

    Raises:
        ModuleNotFoundError: If laion-clap is not installed.
    """
    if _PACKAGE not in sys.modules:
        spec = importlib.util.find_spec("laion_clap")
        if spec is None or not spec.submodule_search_locations:
            raise ModuleNotFoundError("laion_clap is not installed: pip install laion-clap", name="laion_clap")
        package = types.ModuleType(_PACKAGE, "laion_clap/clap_module, its modules one by one.")
        package.__path__ = [str(Path(spec.submodule_search_locations[0]) / "clap_module")]
        sys.modules[_PACKAGE] = package
    return sys.modules[_PACKAGE]
