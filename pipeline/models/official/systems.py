"""Layouts of the parsers' published state dicts, including weights that are never used."""

from __future__ import annotations

from pipeline.models.config import FeaturesConfig, HANConfig, LEAPConfig, MMPyrConfig, ParserConfig, VALORConfig
from pipeline.models.official.layout import Layout


def parser_layout(config: ParserConfig, *, han_layers: int = 1) -> Layout:
    """The published state dict of a parser.

    Args:
        config: of our module.
        han_layers: in a published HAN encoder; all but the last are dead.
    """
    layout = Layout()
    input_projection(layout, config.features, config.width)
    if isinstance(config.encoder, HANConfig):
        _han(layout, config, han_layers)
    elif isinstance(config.encoder, MMPyrConfig):
        _mmpyr(layout, config.encoder, config.width)
    else:
        _valor(layout, config.encoder, config.width)
    if isinstance(config.decoder, LEAPConfig):
        _leap(layout, config.decoder, config.width)
    else:
        heads = ["fc_prob", "fc_frame_att", "fc_av_att"]
        layout.linears("decoder.heads", heads, config.classes, config.width)
    return layout


def input_projection(layout: Layout, features: FeaturesConfig, width: int) -> None:
    """Add the linear layers that every published system begins with."""
    layout.linear("input_projection.audio", "fc_a", width, features.audio_dim)
    layout.linear("input_projection.visual_2d", "fc_v", width, features.visual_2d_dim)
    layout.linear("input_projection.visual_3d", "fc_st", width, features.visual_3d_dim)
    layout.linear("input_projection.fusion", "fc_fusion", width, 2 * width)


def _hybrid_layer(layout: Layout, ours: str | None, published: str, dim: int, hidden: int) -> None:
    inside = (lambda leaf: None) if ours is None else (lambda leaf: f"{ours}.{leaf}")
    layout.packed_attention(inside("self_attention"), f"{published}.self_attn", dim)
    layout.packed_attention(inside("cross_attention"), f"{published}.cm_attn", dim)
    layout.feed_forward(inside("feed_forward"), f"{published}.linear1", f"{published}.linear2", dim, hidden)
    layout.norm(inside("attention_norm"), f"{published}.norm1", dim)
    layout.norm(inside("feed_forward_norm"), f"{published}.norm2", dim)


def _han(layout: Layout, config: ParserConfig, layers: int) -> None:
    """HAN's encoder, and three more encoders that HAN's network creates and never calls."""
    dim, hidden = config.width, config.encoder.feed_forward
    for number in range(layers):
        ours = "encoder.layers.0" if number == layers - 1 else None
        _hybrid_layer(layout, ours, f"hat_encoder.layers.{number}", dim, hidden)
    _spare_norms(layout, "hat_encoder", dim)
    if isinstance(config.decoder, LEAPConfig):
        return
    for encoder in ("audio_encoder", "visual_encoder", "cmt_encoder"):
        published = f"{encoder}.layers.0"
        layout.packed_attention(None, f"{published}.self_attn", dim)
        layout.feed_forward(None, f"{published}.linear1", f"{published}.linear2", dim, hidden)
        _spare_norms(layout, published, dim)
    _spare_norms(layout, "cmt_encoder", dim)


def _spare_norms(layout: Layout, published: str, dim: int) -> None:
    layout.norm(None, f"{published}.norm1", dim)
    layout.norm(None, f"{published}.norm2", dim)


def _valor(layout: Layout, config: VALORConfig, dim: int) -> None:
    for number in range(config.layers):
        published = f"hat_encoder.layers.{number}"
        _hybrid_layer(layout, f"encoder.layers.{number}", published, dim, config.feed_forward)
    used = config.norm == "pre"
    layout.norm("encoder.audio_norm" if used else None, "hat_encoder.final_norm_a", dim)
    layout.norm("encoder.visual_norm" if used else None, "hat_encoder.final_norm_v", dim)


def _template(layout: Layout, published: str, dim: int, hidden: int) -> None:
    """An attention and a feed-forward block that only serve as templates for copies."""
    layout.separate_attention(None, f"{published}.multiheadattn", dim)
    layout.feed_forward(None, f"{published}.feedforward.w_1", f"{published}.feedforward.w_2", dim, hidden)


def _query_norm_layer(layout: Layout, ours: str, published: str, dim: int, hidden: int) -> None:
    feed_forward = f"{published}.feed_forward"
    layout.separate_attention(f"{ours}.attention", f"{published}.self_attn", dim)
    layout.feed_forward(f"{ours}.feed_forward", f"{feed_forward}.w_1", f"{feed_forward}.w_2", dim, hidden)
    layout.norm(f"{ours}.attention_norm", f"{published}.sublayer.0.norm", dim)
    layout.norm(f"{ours}.feed_forward_norm", f"{published}.sublayer.1.norm", dim)


def _temporal_block(layout: Layout, ours: str, published: str, dim: int) -> None:
    """A published block registers its convolutions twice; the names below ``net`` are loaded last, so they hold."""
    layout.tensor(
        f"{ours}.neighbours.weight",
        {f"{published}.net.0.weight": (dim, dim, 3)},
        lambda kernel: kernel.transpose(1, 2).flatten(1),
    )
    layout.tensor(f"{ours}.neighbours.bias", {f"{published}.net.0.bias": (dim,)})
    layout.tensor(f"{ours}.mix.weight", {f"{published}.net.2.weight": (dim, dim, 1)}, lambda kernel: kernel[..., 0])
    layout.tensor(f"{ours}.mix.bias", {f"{published}.net.2.bias": (dim,)})
    for name, width in (("conv1", 3), ("conv2", 1)):
        layout.alias(f"{published}.{name}.weight", (dim, dim, width))
        layout.alias(f"{published}.{name}.bias", (dim,))


def _mmpyr(layout: Layout, config: MMPyrConfig, dim: int) -> None:
    hidden = config.feed_forward
    _template(layout, "MMP.capture", dim, hidden)
    for number in range(config.levels):
        ours, published = f"encoder.levels.{number}", f"MMP.capture.msa.{number}"
        _query_norm_layer(layout, f"{ours}.across", f"{published}.cmablock.layer", dim, hidden)
        for stream, letter in enumerate("av"):
            _query_norm_layer(layout, f"{ours}.within[{stream}]", f"{published}.{letter}sablock.layer", dim, hidden)
            gates = [f"{published}.l{letter}1", f"{published}.l{letter}2"]
            layout.linears(f"{ours}.gate[{stream}].weights", gates, dim, 2 * dim)
            _temporal_block(layout, f"{ours}.temporal[{stream}]", f"MMP.capture.{letter}network.{number}", dim)
    _template(layout, "MMP.fusion", dim, hidden)
    for stream, letter in enumerate("av"):
        layer = f"MMP.fusion.{letter}adaptiveinteraction"
        _query_norm_layer(layout, f"encoder.fusion[{stream}].layer", layer, dim, hidden)
        layout.linear(f"encoder.fusion[{stream}].weight", f"MMP.fusion.{letter}selectfusion", 1, dim)


def _leap(layout: Layout, config: LEAPConfig, dim: int) -> None:
    hidden = config.feed_forward
    layout.linear("decoder.labels.projection", "fc_l", dim, config.label_dim)
    _template(layout, "AVL", dim, hidden)
    for stream, letter in enumerate("av"):
        for number in range(config.blocks):
            published = f"AVL.l{letter}_cma_network.{number}"
            _query_norm_layer(layout, f"decoder.blocks.{number}[{stream}]", published, dim, hidden)
        layout.linear(f"decoder.video[{stream}]", f"fc_l{letter}", 1, dim)
