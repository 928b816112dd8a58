"""Layout of MM-CSE's published state dict."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pipeline.models.config import MMCSEConfig
from pipeline.models.official.layout import Layout, Shape
from pipeline.models.official.systems import input_projection


def mmcse_layout(config: MMCSEConfig) -> Layout:
    """The published state dict of MM-CSE.

    Args:
        config: of our module; with ``reconstruct`` the state dict is one of training.
    """
    layout = Layout()
    input_projection(layout, config.features, config.width)
    _decouplers(layout, config)
    for number in range(config.layers):
        _enhancement(layout, f"layers.{number}", f"av_enhance.layers.{number}", config)
    for letter in ("a", "v"):
        layout.norm(None, f"av_enhance.final_norm_{letter}", config.class_dim)
    _heads(layout, config)
    return layout


def _decouplers(layout: Layout, config: MMCSEConfig) -> None:
    dim, class_dim, vectors = config.width, config.class_dim, config.classes + 1
    for ours, letter in (("audio", "a"), ("visual", "v")):
        first = [f"{letter}_unmix.{number}.1" for number in range(vectors)]
        layout.linears(f"{ours}_decoupler.first", first, class_dim, dim)
        layout.linear(f"{ours}_background.share.1", f"alpha_{letter}.model.1", dim // 2, dim)
        layout.linear(f"{ours}_background.share.4", f"alpha_{letter}.model.4", 1, dim // 2)
        layout.linear(f"{ours}_background.reduce", f"reduce_{letter}.0", class_dim, 2 * class_dim)
    second = [f"v_unmix.{number}.4" for number in range(vectors)]
    _stacked(layout, "visual_decoupler.second_weight", second, "weight", (class_dim, class_dim))
    _stacked(layout, "visual_decoupler.second_bias", second, "bias", (class_dim,))
    if config.reconstruct:
        for ours, names in (("audio", ("a_recon.0", "a_recon.2")), ("visual", ("v_recon.model.1", "v_recon.model.3"))):
            layout.linear(f"{ours}_reconstructor.0", names[0], dim, vectors * class_dim)
            layout.linear(f"{ours}_reconstructor.2", names[1], dim, dim)


def _enhancement(layout: Layout, ours: str, published: str, config: MMCSEConfig) -> None:
    dim = config.class_dim
    first, second = f"{published}.linear1", f"{published}.linear2"
    layout.feed_forward(f"{ours}.feed_forward", first, second, dim, config.feed_forward)
    layout.norm(f"{ours}.norm", f"{published}.norm1", dim)
    layout.packed_attention(f"{ours}.within_classes.attention", f"{published}.SECM_1.attn", dim)
    layout.packed_attention(f"{ours}.across_classes.attention", f"{published}.SECM_2.attn", dim)
    layout.linear(f"{ours}.within_global.local_layer", f"{published}.LGSF_1.glob1", dim, dim)
    layout.linear(f"{ours}.within_global.global_layer", f"{published}.LGSF_1.glob2", dim, dim)
    layout.linear(f"{ours}.across_global.local_layer", f"{published}.LGSF_2.glob", dim, dim)
    layout.linear(f"{ours}.within", f"{published}.fc1", dim, dim)
    layout.linear(f"{ours}.across", f"{published}.fc2", dim, dim)


def _heads(layout: Layout, config: MMCSEConfig) -> None:
    """One published linear layer a class and head; ours are ``[heads, classes, class_dim]``."""
    heads, classes = ("fc_prob", "fc_frame_att", "fc_av_att"), config.classes
    names = [f"{head}.fc.{number}" for head in heads for number in range(classes)]
    shape = (len(heads), classes)
    _stacked(layout, "heads.weight", names, "weight", (1, config.class_dim), lambda found: found.view(*shape, -1))
    _stacked(layout, "heads.bias", names, "bias", (1,), lambda found: found.view(*shape))


def _stacked(
    layout: Layout,
    ours: str,
    names: list[str],
    leaf: str,
    shape: Shape,
    arrange: Callable[[Tensor], Tensor] = lambda found: found,
) -> None:
    published = {f"{name}.{leaf}": shape for name in names}
    layout.tensor(ours, published, lambda *tensors: arrange(torch.stack(tensors)))
