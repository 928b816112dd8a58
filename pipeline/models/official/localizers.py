"""Layouts of the localizers' published state dicts, including weights that are never used."""

from __future__ import annotations

from pipeline.models.config import AVEConfig, CMBSConfig, LocalizerConfig, PSPConfig
from pipeline.models.official.layout import Layout

_SCORER = "scorer.layers"


def localizer_layout(config: LocalizerConfig) -> Layout:
    """The published state dict of a localizer.

    Args:
        config: of our module, with the method's own classifier.

    Source: the published code of AVE, PSP and CMBS. PSP's threshold has no weights, so state dicts of all are alike.
    """
    layout, encoder = Layout(), config.encoder
    if isinstance(encoder, AVEConfig):
        _ave(layout, config, encoder)
    elif isinstance(encoder, PSPConfig):
        _psp(layout, config, encoder)
    else:
        _cmbs(layout, config, encoder)
    return layout


def _channels(config: LocalizerConfig) -> int:
    return config.features.visual_2d_dim // config.positions


def _ave(layout: Layout, config: LocalizerConfig, encoder: AVEConfig) -> None:
    audio, channels = config.features.audio_dim, _channels(config)
    layout.lstm("encoder.temporal.audio", "lstm_audio", encoder.hidden, audio)
    layout.lstm("encoder.temporal.visual", "lstm_video", encoder.hidden, channels)
    _guided_attention(layout, "", config)
    layout.linear(f"{_SCORER}.0", "L1", 64, 4 * encoder.hidden)
    layout.linear(f"{_SCORER}.1", "L2", config.classes, 64)


def _guided_attention(layout: Layout, prefix: str, config: LocalizerConfig) -> None:
    """AVE's attention, which PSP has too. All its hidden layers are 512 wide."""
    ours, hidden, positions = "encoder.attention", 512, config.positions
    layout.linear(f"{ours}.audio", f"{prefix}affine_audio", hidden, config.features.audio_dim)
    layout.linear(f"{ours}.visual", f"{prefix}affine_video", hidden, _channels(config))
    layout.linear(f"{ours}.visual_to_hidden", f"{prefix}affine_v", positions, hidden, bias=False)
    layout.linear(f"{ours}.audio_to_positions", f"{prefix}affine_g", positions, hidden, bias=False)
    layout.linear(f"{ours}.weight", f"{prefix}affine_h", 1, positions, bias=False)


def _psp(layout: Layout, config: LocalizerConfig, encoder: PSPConfig) -> None:
    audio, channels, dim = config.features.audio_dim, _channels(config), 2 * encoder.hidden
    layout.tensor(None, {"temperature": (1, config.classes)})
    layout.linear("encoder.narrow", "linear_v", audio, channels)
    _guided_attention(layout, "attention.", config)
    for ours, letter in (("audio", "audio"), ("visual", "video")):
        layout.lstm(f"encoder.temporal.{ours}", f"lstm_a_v.lstm_{letter}", encoder.hidden, audio)
    _propagation(layout, dim)
    layout.linear(None, "W1", 1, dim, bias=False)
    layout.linear(None, "W2", 1, 64, bias=False)
    layout.linear("pooling.weight", "W3", 1, config.classes, bias=False)
    layout.linear(f"{_SCORER}.0", "L1", 64, dim, bias=False)
    layout.linear(f"{_SCORER}.1", "L2", config.classes, 64, bias=False)


def _propagation(layout: Layout, dim: int) -> None:
    """Audio's first layer gives the keys and its second the values; of the picture it is the other way round."""
    ours = "encoder.propagation"
    for name, published in (
        ("audio_key", "a_L1"), ("audio_value", "a_L2"), ("visual_key", "v_L2"), ("visual_value", "v_L1"),
    ):  # fmt: skip
        layout.linear(f"{ours}.{name}", f"psp.{published}", dim, dim, bias=False)
    layout.norm(f"{ours}.norm", "psp.layer_norm", dim)


def _cmbs(layout: Layout, config: LocalizerConfig, encoder: CMBSConfig) -> None:
    audio, channels, dim, classes = config.features.audio_dim, _channels(config), encoder.dim, config.classes
    _channel_attention(layout, config)
    layout.linear("encoder.adapt", "v_fc", channels, channels)
    for ours, published, width in (("visual", "video", channels), ("audio", "audio", audio)):
        _relation_encoder(layout, f"encoder.{ours}_encoder", f"{published}_encoder", width, encoder)
        _relation_decoder(layout, f"encoder.{ours}_decoder", f"{published}_decoder", width, encoder)
    _interactions(layout, dim)
    # The published code names a gate after the stream that it scales, we after the one that it is read from.
    layout.linear("encoder.gate_from_visual", "audio_gated.0", 1, dim)
    layout.linear("encoder.gate_from_audio", "video_gated.0", 1, dim)
    scorer = {"CAS_model.classifier.0.weight": (classes, dim, 1)}
    layout.tensor(f"{_SCORER}.0.weight", scorer, lambda kernel: kernel[..., 0])
    layout.linear(None, "classifier", 1, dim)
    layout.linear("encoder.audio_classes", "audio_cas", classes, dim)
    layout.linear("encoder.visual_classes", "video_cas", classes, dim)


def _channel_attention(layout: Layout, config: LocalizerConfig) -> None:
    ours, published, hidden = "encoder.attention", "spatial_channel_att", 256
    audio, channels = config.features.audio_dim, _channels(config)
    for name, theirs, out_dim, in_dim in (
        ("visual_to_channels", "affine_video_1", channels, channels),
        ("audio_to_channels", "affine_audio_1", channels, audio),
        ("channel_weights.0", "affine_bottleneck", hidden, channels),
        ("channel_weights.2", "affine_v_c_att", channels, hidden),
        ("positions.visual", "affine_video_2", hidden, channels),
        ("positions.guide", "affine_audio_2", hidden, audio),
        ("positions.weight", "affine_v_s_att", 1, hidden),
        ("self_attention.query", "video_query", channels // 4, channels),
        ("self_attention.key", "video_key", channels // 4, channels),
        ("self_attention.value", "video_value", channels, channels),
        ("summary.guide", "affine_video_ave", hidden, channels),
        ("summary.visual", "affine_video_3", hidden, channels),
        ("summary.weight", "ave_v_att", 1, hidden),
    ):
        layout.linear(f"{ours}.{name}", f"{published}.{theirs}", out_dim, in_dim)
    layout.linear(None, f"{published}.ave_bottleneck", hidden, channels)
    layout.norm(f"{ours}.self_attention.norm", f"{published}.norm", channels)


def _relation_encoder(layout: Layout, ours: str, published: str, in_dim: int, encoder: CMBSConfig) -> None:
    hidden = encoder.encoder_feed_forward
    _post_norm_layer(layout, None, f"{published}.encoder_layer", "self_attn", encoder.dim, hidden)
    for number in range(2):
        theirs = f"{published}.encoder.layers.{number}"
        _post_norm_layer(layout, f"{ours}.layers.{number}", theirs, "self_attn", encoder.dim, hidden)
    layout.linear(f"{ours}.widen", f"{published}.affine_matrix", encoder.dim, in_dim)


def _relation_decoder(layout: Layout, ours: str, published: str, in_dim: int, encoder: CMBSConfig) -> None:
    hidden = encoder.decoder_feed_forward
    for name, theirs in ((None, f"{published}.decoder_layer"), (f"{ours}.layer", f"{published}.decoder.layers.0")):
        layout.packed_attention(None, f"{theirs}.self_attn", encoder.dim)
        _post_norm_layer(layout, name, theirs, "multihead_attn", encoder.dim, hidden)
    layout.linear(f"{ours}.widen", f"{published}.affine_matrix", encoder.dim, in_dim)


def _post_norm_layer(
    layout: Layout, ours: str | None, published: str, attention: str, dim: int, hidden: int
) -> None:  # fmt: skip
    inside = (lambda leaf: None) if ours is None else (lambda leaf: f"{ours}.{leaf}")
    layout.packed_attention(inside("attention"), f"{published}.{attention}", dim)
    layout.feed_forward(inside("feed_forward"), f"{published}.linear1", f"{published}.linear2", dim, hidden)
    layout.norm(inside("attention_norm"), f"{published}.norm1", dim)
    layout.norm(inside("feed_forward_norm"), f"{published}.norm2", dim)


def _interactions(layout: Layout, dim: int) -> None:
    for ours, published in (("first", "AVInter"), ("second", "VAInter")):
        layout.packed_attention(f"encoder.{ours}.attention", f"{published}.video_multihead", dim)
        layout.norm(f"encoder.{ours}.norm", f"{published}.norm1", dim)
