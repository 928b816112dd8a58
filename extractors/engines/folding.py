"""Folds batch norms into the convolutions before them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from extractors.engines.runtime import inference

if TYPE_CHECKING:
    from torch import Tensor, nn

_FOLD_TOLERANCE = 1e-3
"""Largest change of a small example's output, relative to its largest value, that folding may cause."""


def fold_batch_norms(module: nn.Module, example: Tensor) -> int:
    """Fold every batch norm that directly follows a convolution into it. Exact but for rounding.

    Which norm follows which convolution is seen by running ``example``, not guessed from names; if the output
    changes after all (a convolution's output was used elsewhere too), everything is put back.

    Args:
        module: a network in eval mode, on the CPU in float32; changed in place.
        example: a small input; its values do not matter.

    Returns:
        How many norms were folded.
    """
    import torch

    if module.training:
        raise ValueError("batch norms can be folded in eval mode only")
    with inference():
        before, pairs = _watch(module, example)
    undo: list[Callable[[], None]] = []
    with torch.no_grad():
        for conv, norm in pairs:
            undo.append(_fold(module, conv, norm))
    with inference():
        after = _first(module(example))
    scale = float(before.abs().max()) or 1.0
    if pairs and not float((after - before).abs().max()) <= _FOLD_TOLERANCE * scale:
        for restore in reversed(undo):
            restore()
        return 0
    return len(pairs)


def _watch(module: nn.Module, example: Tensor) -> tuple[Tensor, list[tuple[Any, Any]]]:
    """Run ``example`` and note (convolution, norm) where the norm's input is the convolution's output itself."""
    from torch import nn

    made: dict[int, tuple[nn.Module, Tensor]] = {}
    pairs: list[tuple[Any, Any]] = []
    calls: dict[nn.Module, int] = {}

    def after_conv(conv: nn.Module, _inputs: Any, output: Tensor) -> None:
        calls[conv] = calls.get(conv, 0) + 1
        made[id(output)] = (conv, output)  # holding the output keeps its id from being used again

    def before_norm(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        calls[norm] = calls.get(norm, 0) + 1
        if id(inputs[0]) in made:
            pairs.append((made.pop(id(inputs[0]))[0], norm))

    hooks = []
    for part in module.modules():
        if isinstance(part, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
            hooks.append(part.register_forward_hook(after_conv))
        # Not their subclasses, which may do more than normalise.
        elif type(part) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d) and part.running_var is not None:
            hooks.append(part.register_forward_pre_hook(before_norm))
    try:
        output = _first(module(example)).clone()
    finally:
        for hook in hooks:
            hook.remove()
    return output, [(conv, norm) for conv, norm in pairs if calls[conv] == 1 and calls[norm] == 1]


def _fold(module: nn.Module, conv: Any, norm: Any) -> Callable[[], None]:
    """Fold one norm; returns what undoes it. Computed in float64 and rounded once."""
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_weights

    def wide(tensor: Any) -> Any:
        return None if tensor is None else tensor.double()

    weight, bias = fuse_conv_bn_weights(
        wide(conv.weight),
        wide(conv.bias),
        wide(norm.running_mean),
        wide(norm.running_var),
        norm.eps,
        wide(norm.weight),
        wide(norm.bias),
    )
    old_weight, old_bias = conv.weight, conv.bias
    places = [(parent, name) for parent in module.modules() for name, child in parent.named_children() if child is norm]
    conv.weight = nn.Parameter(weight.to(old_weight.dtype), requires_grad=False)
    conv.bias = nn.Parameter(bias.to(old_weight.dtype), requires_grad=False)
    for parent, name in places:
        setattr(parent, name, nn.Identity())

    def restore() -> None:
        conv.weight, conv.bias = old_weight, old_bias
        for parent, name in places:
            setattr(parent, name, norm)

    return restore


def _first(output: Any) -> Tensor:
    found: Tensor = output[0] if isinstance(output, (tuple, list)) else output
    return found
