"""The types of transformers models of sound, beside those of :mod:`extractors.hugging_face.model_types`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from extractors.hugging_face.model_types import PICTURES, VIDEOS, ModelType, Output

if TYPE_CHECKING:
    from torch import Tensor

WHISPER_TOKENS = 50
"""Tokens of a second; the other 1450 stand for the silence up to 30 s."""


def _width(config: Any, _height: int) -> int:
    return int(config.hidden_size)


def _model_width(config: Any, _height: int) -> int:
    return int(config.d_model)


def _projected(config: Any, _height: int) -> int:
    return int(config.projection_dim)


def _pooled(network: Any, sound: Tensor) -> Tensor:
    return network(input_values=sound).pooler_output  # type: ignore[no-any-return]


def _mean(network: Any, sound: Tensor) -> Tensor:
    return network(input_values=sound).last_hidden_state.mean(dim=1)  # type: ignore[no-any-return]


def _clap(network: Any, sound: Tensor) -> Tensor:
    longer = sound.new_zeros((len(sound), 1)).bool()  # no second is longer than the network's ten
    return network(input_features=sound, is_longer=longer).audio_embeds  # type: ignore[no-any-return]


def _whisper(network: Any, sound: Tensor) -> Tensor:
    hidden = network(input_features=sound).last_hidden_state
    return hidden[:, :WHISPER_TOKENS].mean(dim=1)  # type: ignore[no-any-return]


def _pe_width(config: Any, _height: int) -> int:
    return int(config.text_config.hidden_size)


def _pe_audio(network: Any, sound: Tensor) -> Tensor:
    return network.get_audio_embeds(input_values=sound)  # type: ignore[no-any-return]


def _pe_video(network: Any, pixels: Tensor) -> Tensor:
    frames = pixels.transpose(1, 2).contiguous()
    return network.video_head(network.video_encoder(pixel_values_videos=frames).pooler_output)  # type: ignore[no-any-return]


def _without_text(network: Any) -> Any:
    """The tower of one modality; the text tower is the larger part of it."""
    del network.text_model
    return network


_PE_AUDIO = {"embedding": Output(_pe_audio, _pe_width, "audio embedding")}
_PE_VIDEO = {"embedding": Output(_pe_video, _pe_width, "video embedding")}
_PE_SOUND = "PeAudioFeatureExtractor"
_PE_FRAMES: Mapping[str, Any] = {
    "frames": lambda config: 8, "frames_multiple": lambda config: 1, "processor": "PeVideoVideoProcessor",
}  # fmt: skip
_WAVE = {"mean": Output(_mean, _width, "mean of the last hidden states")}
_RAW = "Wav2Vec2FeatureExtractor"

SOUNDS: Mapping[str, ModelType] = {
    "audio-spectrogram-transformer": ModelType(
        "ASTModel", "sound", {"pooled": Output(_pooled, _width, "pooled output")}, processor="ASTFeatureExtractor"
    ),
    "clap": ModelType(
        "ClapAudioModelWithProjection", "sound", {"embedding": Output(_clap, _projected, "audio embedding")},
        part="audio_config", joint=True, processor="ClapFeatureExtractor",
    ),
    "whisper": ModelType(
        "WhisperModel", "sound", {"mean": Output(_whisper, _model_width, "mean of the encoder's tokens")},
        processor="WhisperFeatureExtractor", kept=lambda network: network.get_encoder(),
    ),
    "wav2vec2": ModelType("Wav2Vec2Model", "sound", _WAVE, processor=_RAW),
    "hubert": ModelType("HubertModel", "sound", _WAVE, processor=_RAW),
    "wavlm": ModelType("WavLMModel", "sound", _WAVE, processor=_RAW),
    "pe_audio": ModelType("PeAudioModel", "sound", _PE_AUDIO, processor=_PE_SOUND, kept=_without_text),
}  # fmt: skip

MODEL_TYPES: Mapping[str, Mapping[str, ModelType]] = {
    **{name: {"": kind} for name, kind in {**PICTURES, **VIDEOS, **SOUNDS}.items()},
    "pe_audio_video": {
        "audio": ModelType(
            "PeAudioVideoModel", "sound", _PE_AUDIO, processor=_PE_SOUND,
            kept=lambda network: _without_text(network.audio_model),
        ),
        "video": ModelType(
            "PeAudioVideoModel", "frames", _PE_VIDEO, kept=lambda network: _without_text(network.video_model),
            **_PE_FRAMES,
        ),
    },
}  # fmt: skip
"""``model_type`` of a ``config.json`` -> part of the name -> how it is run. Most have one part, named by nothing."""
