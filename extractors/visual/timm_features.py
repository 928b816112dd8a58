"""timm's networks: their weights from a file, the features taken from them, and norms that can be folded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import timm
from timm.layers import BatchNormAct2d
from torch import Tensor, device, nn

from extractors.weights.loading import ResolvedWeights, apply_weights, load_into
from storage.errors import UnknownBackbone, WeightsError
from storage.foreign_files import reading

if TYPE_CHECKING:
    from collections.abc import Mapping


class ClassToken(nn.Module):
    """The class token after the last norm.

    Args:
        network: whose ``forward_features`` gives ``[pictures, tokens, width]``, the class token first.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        """Compute ``[pictures, width]`` of ``[pictures, 3, height, width]``."""
        return _tokens(self.network, pixels)[:, 0]


class MeanToken(nn.Module):
    """The mean of the patch tokens after the last norm.

    Args:
        network: whose ``forward_features`` gives ``[pictures, tokens, width]``, the tokens that are no patches first.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network
        self.first = prefix_tokens(network)

    def forward(self, pixels: Tensor) -> Tensor:
        """Compute ``[pictures, width]`` of ``[pictures, 3, height, width]``."""
        return _tokens(self.network, pixels)[:, self.first :].mean(dim=1)


def prefix_tokens(network: Any) -> int:
    """Tokens that are no patches: the class token and registers."""
    return int(getattr(network, "num_prefix_tokens", 0))


def features_of(network: nn.Module, kind: str, *, name: str) -> nn.Module:
    """The network as one that gives the features asked for.

    Args:
        network: built without a classifier.
        kind: empty for the pooled features, ``cls`` or ``tokens``.
        name: of the backbone, for errors.

    Raises:
        UnknownBackbone: If the network has no class token, or no tokens.
    """
    if not kind:
        return network
    architecture, plain = type(network).__name__, name.replace(f":{kind}", "")
    if kind == "cls" and (getattr(network, "cls_token", None) is None or not prefix_tokens(network)):
        raise UnknownBackbone(f"backbone {name!r}: {architecture} has no class token; ask for {plain!r}")
    if kind == "tokens" and not hasattr(network, "num_prefix_tokens"):
        raise UnknownBackbone(f"backbone {name!r}: {architecture} gives a map, no tokens; ask for {plain!r}, its mean")
    return ClassToken(network) if kind == "cls" else MeanToken(network)


def part_activations(network: nn.Module) -> None:
    """Replace norms that timm joins with an activation by a plain norm and the activation, in place."""
    for parent in list(network.modules()):
        for name, norm in list(parent.named_children()):
            if type(norm) is BatchNormAct2d:
                setattr(parent, name, _parted(norm))


def _parted(norm: Any) -> nn.Sequential:
    plain = nn.BatchNorm2d(norm.num_features, eps=norm.eps, affine=norm.affine, momentum=norm.momentum)
    plain.load_state_dict(norm.state_dict(), strict=False)
    return nn.Sequential(plain.eval(), norm.drop, norm.act)


def fill_timm(network: nn.Module, weights: ResolvedWeights, *, model: str) -> None:
    """Fill a network without a classifier.

    A file that has the network's own names is read as any other. Checkpoints of the models' authors may have other
    names: timm itself converts them, as it would when it loads pretrained weights.

    Args:
        network: on the CPU.
        weights: random numbers or a file.
        model: as timm calls it.

    Raises:
        WeightsError: If the file fits neither way; names what is missing and unexpected.
    """
    ignore = _names_of_classifier(network, model)
    try:
        apply_weights(network, weights, ignore=ignore)
    except WeightsError:
        if weights.path is None:
            raise
        converted = _converted(model, weights.path)
        if converted is None:
            raise
        load_into(network, converted, path=weights.path, ignore=ignore)


def _names_of_classifier(network: nn.Module, model: str) -> tuple[str, ...]:
    """What the whole model has and the network has not."""
    with device("meta"):
        whole = timm.create_model(model, pretrained=False)
    return tuple(whole.state_dict().keys() - network.state_dict().keys())


def _converted(model: str, path: Path) -> Mapping[str, Tensor] | None:
    """The file as timm loads it into the whole model, every name accounted for; ``None`` if it cannot."""
    overlay = {"file": str(path), "url": "", "hf_hub_id": None}
    try:
        with reading(path, "not a checkpoint that timm can read", error=WeightsError):
            whole = timm.create_model(model, pretrained=True, pretrained_cfg_overlay=overlay)
    except WeightsError:
        return None
    state: Mapping[str, Tensor] = whole.state_dict()
    return state


def _tokens(network: Any, pixels: Tensor) -> Tensor:
    tokens: Tensor = network.forward_features(pixels)
    return tokens
