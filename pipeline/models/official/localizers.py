"""Layouts of the localizers' published state dicts, including weights that are never used."""

from __future__ import annotations

from pipeline.models.config import LocalizerConfig
from pipeline.models.localizer_parts import AVEConfig, CMBSSupervisedConfig, DMRNConfig, PSPConfig, PSPSupervisedConfig
from pipeline.models.official.cmbs import cmbs_supervised, cmbs_weak
from pipeline.models.official.layout import Layout

_SCORER = "scorer.layers"


def localizer_layout(config: LocalizerConfig) -> Layout:
    """The published state dict of a localizer.

    Args:
        config: of our module, with the method's own classifier.

    Source: the published code of AVE, PSP and CMBS. PSP's threshold has no weights, so state dicts of all are alike.
    """
    encoder, layout = config.encoder, Layout()
    if isinstance(encoder, AVEConfig | DMRNConfig):
        _ave(layout, config, encoder)
    elif isinstance(encoder, PSPConfig):
        _psp(layout, config, encoder)
    elif isinstance(encoder, PSPSupervisedConfig):
        _psp_supervised(layout, config, encoder)
    elif isinstance(encoder, CMBSSupervisedConfig):
        cmbs_supervised(layout, config, encoder)
    else:
        cmbs_weak(layout, config, encoder)
    return layout


def _channels(config: LocalizerConfig) -> int:
    return config.features.visual_2d_dim // config.positions


def _ave(layout: Layout, config: LocalizerConfig, encoder: AVEConfig | DMRNConfig) -> None:
    hidden, audio, channels = encoder.hidden, config.features.audio_dim, _channels(config)
    layout.lstm("encoder.temporal.audio", "lstm_audio", hidden, audio)
    layout.lstm("encoder.temporal.visual", "lstm_video", hidden, channels)
    _guided_attention(layout, "", config, audio)
    if isinstance(encoder, AVEConfig):
        layout.linear(f"{_SCORER}.0", "L1", 64, 4 * hidden)
        layout.linear(f"{_SCORER}.1", "L2", config.classes, 64)
        return
    for ours, published in (("visual", "U_v"), ("audio", "U_a")):
        for number in (0, 2):
            layout.linear(f"encoder.fusion.{ours}.{number}", f"{published}.{number}", 2 * hidden, 2 * hidden)
    layout.linear(f"{_SCORER}.0", "L2", config.classes, 2 * hidden)


def _guided_attention(layout: Layout, prefix: str, config: LocalizerConfig, audio_dim: int) -> None:
    """AVE's attention, which DMRN and PSP have too. All its hidden layers are 512 wide."""
    ours, hidden, positions = "encoder.attention", 512, config.positions
    layout.linear(f"{ours}.audio", f"{prefix}affine_audio", hidden, audio_dim)
    layout.linear(f"{ours}.visual", f"{prefix}affine_video", hidden, _channels(config))
    layout.linear(f"{ours}.visual_to_hidden", f"{prefix}affine_v", positions, hidden, bias=False)
    layout.linear(f"{ours}.audio_to_positions", f"{prefix}affine_g", positions, hidden, bias=False)
    layout.linear(f"{ours}.weight", f"{prefix}affine_h", 1, positions, bias=False)


def _psp(layout: Layout, config: LocalizerConfig, encoder: PSPConfig) -> None:
    audio, channels, dim = config.features.audio_dim, _channels(config), 2 * encoder.hidden
    layout.tensor(None, {"temperature": (1, config.classes)})
    layout.linear("encoder.narrow", "linear_v", audio, channels)
    _guided_attention(layout, "attention.", config, audio)
    _psp_temporal(layout, encoder.hidden, audio)
    _propagation(layout, dim)
    layout.linear(None, "W1", 1, dim, bias=False)
    layout.linear(None, "W2", 1, 64, bias=False)
    layout.linear("pooling.weight", "W3", 1, config.classes, bias=False)
    layout.linear(f"{_SCORER}.0", "L1", 64, dim, bias=False)
    layout.linear(f"{_SCORER}.1", "L2", config.classes, 64, bias=False)


def _psp_supervised(layout: Layout, config: LocalizerConfig, encoder: PSPSupervisedConfig) -> None:
    audio, channels, hidden = config.features.audio_dim, _channels(config), encoder.hidden
    dim, middle = 2 * hidden, 256
    for ours, published, width in (("audio", "fa", audio), ("visual", "fv", channels)):
        layout.linear(f"encoder.{ours}.0", f"{published}.0", middle, width, bias=False)
        layout.linear(f"encoder.{ours}.1", f"{published}.1", hidden, middle, bias=False)
    layout.linear(None, "linear_v", audio, channels)
    _guided_attention(layout, "attention.", config, hidden)
    _psp_temporal(layout, hidden, hidden)
    _propagation(layout, dim)
    layout.linear("encoder.propagation.audio_output", "psp.a_fc", dim, dim, bias=False)
    layout.linear("encoder.propagation.visual_output", "psp.v_fc", dim, dim, bias=False)
    for letter in ("v", "a"):
        layout.linear(None, f"{letter}_classify.L1", 64, dim, bias=False)
        layout.linear(None, f"{letter}_classify.L2", config.classes - 1, 64, bias=False)
    layout.linear(f"{_SCORER}.0", "L1", 64, dim, bias=False)
    layout.linear(f"{_SCORER}.1", "L2", config.classes, 64, bias=False)
    layout.linear(None, "L3", 64, dim)
    layout.linear(None, "L4", 2, 64)


def _psp_temporal(layout: Layout, hidden: int, in_dim: int) -> None:
    for ours, letter in (("audio", "audio"), ("visual", "video")):
        layout.lstm(f"encoder.temporal.{ours}", f"lstm_a_v.lstm_{letter}", hidden, in_dim)


def _propagation(layout: Layout, dim: int) -> None:
    """Audio's first layer gives the keys and its second the values; of the picture it is the other way round."""
    ours = "encoder.propagation"
    for name, published in (
        ("audio_key", "a_L1"), ("audio_value", "a_L2"), ("visual_key", "v_L2"), ("visual_value", "v_L1"),
    ):  # fmt: skip
        layout.linear(f"{ours}.{name}", f"psp.{published}", dim, dim, bias=False)
    layout.norm(f"{ours}.norm", "psp.layer_norm", dim)
