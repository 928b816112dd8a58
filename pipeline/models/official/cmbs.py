"""Layouts of CMBS's published state dicts, weakly and fully supervised."""

from __future__ import annotations

from pipeline.models.config import LocalizerConfig
from pipeline.models.localizer_parts import CMBSConfig, CMBSSupervisedConfig
from pipeline.models.official.layout import Layout

_SCORER = "scorer.layers.0"
_CMBS = CMBSConfig | CMBSSupervisedConfig


def cmbs_weak(layout: Layout, config: LocalizerConfig, encoder: CMBSConfig) -> None:
    """Add the weakly supervised network."""
    dim, classes = encoder.dim, config.classes
    _shared(layout, config, encoder, audio=config.features.audio_dim, visual=_channels(config), classes=classes)
    # This code names a gate after the stream that it scales, we after the one that it is read from.
    layout.linear("encoder.gate_from_visual", "audio_gated.0", 1, dim)
    layout.linear("encoder.gate_from_audio", "video_gated.0", 1, dim)
    scorer = {"CAS_model.classifier.0.weight": (classes, dim, 1)}
    layout.tensor(f"{_SCORER}.weight", scorer, lambda kernel: kernel[..., 0])
    layout.linear(None, "classifier", 1, dim)


def cmbs_supervised(layout: Layout, config: LocalizerConfig, encoder: CMBSSupervisedConfig) -> None:
    """Add the fully supervised network."""
    dim, events = encoder.dim, config.classes - 1
    layout.lstm("encoder.temporal.audio", "audio_visual_rnn_layer.audio_rnn", dim // 2, config.features.audio_dim)
    layout.lstm("encoder.temporal.visual", "audio_visual_rnn_layer.visual_rnn", dim, _channels(config))
    _shared(layout, config, encoder, audio=dim, visual=2 * dim, classes=events)
    layout.linear("encoder.gate_from_audio", "audio_gated.0", 1, dim)
    layout.linear("encoder.gate_from_visual", "video_gated.0", 1, dim)
    layout.linear("encoder.event", "localize_module.classifier", 1, dim)
    layout.linear(_SCORER, "localize_module.event_classifier", events, dim)
    layout.norm(None, "video_norm", dim)
    layout.norm(None, "audio_norm", dim)


def _shared(
    layout: Layout, config: LocalizerConfig, encoder: _CMBS, *, audio: int, visual: int, classes: int
) -> None:  # fmt: skip
    """What both have: ``audio`` and ``visual`` are the widths of what encoders and decoders read."""
    _channel_attention(layout, config)
    layout.linear("encoder.adapt", "v_fc", _channels(config), _channels(config))
    for ours, published, width in (("visual", "video", visual), ("audio", "audio", audio)):
        _relation_encoder(layout, f"encoder.{ours}_encoder", f"{published}_encoder", width, encoder)
        _relation_decoder(layout, f"encoder.{ours}_decoder", f"{published}_decoder", width, encoder)
        layout.linear(f"encoder.{ours}_classes", f"{published}_cas", classes, encoder.dim)
    _interactions(layout, encoder.dim)


def _channels(config: LocalizerConfig) -> int:
    return config.features.visual_2d_dim // config.positions


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


def _relation_encoder(layout: Layout, ours: str, published: str, in_dim: int, encoder: _CMBS) -> None:
    hidden = encoder.encoder_feed_forward
    _post_norm_layer(layout, None, f"{published}.encoder_layer", "self_attn", encoder.dim, hidden)
    for number in range(2):
        theirs = f"{published}.encoder.layers.{number}"
        _post_norm_layer(layout, f"{ours}.layers.{number}", theirs, "self_attn", encoder.dim, hidden)
    layout.linear(f"{ours}.widen", f"{published}.affine_matrix", encoder.dim, in_dim)


def _relation_decoder(layout: Layout, ours: str, published: str, in_dim: int, encoder: _CMBS) -> None:
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
