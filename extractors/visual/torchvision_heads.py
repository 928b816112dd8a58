"""Torchvision's networks as their weights need them, and without their classifiers."""

from __future__ import annotations

from typing import Any

from torch import nn
from torchvision.models import get_model

from storage.errors import UnknownBackbone

_WITH_HELPERS = ("googlenet", "inception_v3")
"""Networks whose files hold helper classifiers for training, and whose pixels are shifted by ``transform_input``."""


def build_for(model: str, weights: Any) -> nn.Module:
    """A network without values, of the size that the weights are for.

    Args:
        model: as torchvision calls it.
        weights: the entry of torchvision's table.
    """
    options: dict[str, Any] = {"num_classes": len(weights.meta["categories"])}
    if model in _WITH_HELPERS:
        options |= {"aux_logits": True, "transform_input": True, "init_weights": False}
    if model.startswith("vit_"):
        options["image_size"] = weights.meta["min_size"][0]
    return get_model(model, weights=None, **options)  # type: ignore[no-any-return]


def without_classifier(network: Any, *, name: str) -> tuple[nn.Module, int]:
    """Take the last layer off, in place: it is the last linear layer or 1 x 1 convolution of the network's head.

    Returns:
        The network, and the size of its features.

    Raises:
        UnknownBackbone: If the network has no head that is known.
    """
    for head in ("fc", "classifier", "heads", "head"):
        layer = getattr(network, head, None)
        if isinstance(layer, nn.Linear):
            setattr(network, head, nn.Identity())
            return network, layer.in_features
        if isinstance(layer, nn.Sequential):
            return network, _cut(layer, name=name)
    raise UnknownBackbone(f"backbone {name!r}: {type(network).__name__} has no head that is known")


def _cut(head: nn.Sequential, *, name: str) -> int:
    """Replace a head's last layer with values, and what follows it where that only serves classes."""
    for key, layer in reversed(list(head.named_children())):
        if isinstance(layer, nn.Linear):
            setattr(head, key, nn.Identity())
            return layer.in_features
        if isinstance(layer, (nn.Conv2d, nn.Conv3d)):
            setattr(head, key, nn.Identity())
            return layer.in_channels
    raise UnknownBackbone(f"backbone {name!r}: its head has no layer that gives classes")
