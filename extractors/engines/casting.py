"""Casts a network to a half type once. Autocast would cast every weight again in every batch."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn

HALF_TYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
"""Precisions that networks are cast to."""

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def cast_network(network: nn.Module, dtype: torch.dtype, *, keep: Collection[str] = ()) -> None:
    """Cast weights and buffers, in place. Batch norms stay in float32 and take inputs of either type.

    Args:
        network: in float32.
        dtype: of the weights, and of what :func:`for_network` gives from now on.
        keep: names of modules, parameters or buffers that stay in float32.
    """
    for path, part in network.named_modules():
        if isinstance(part, _NORMS):
            continue
        for name, parameter in part.named_parameters(recurse=False):
            if not _is_kept(path, name, keep):
                parameter.data = _cast(parameter.data, dtype)
        for name, buffer in list(part.named_buffers(recurse=False)):
            if not _is_kept(path, name, keep):
                setattr(part, name, _cast(buffer, dtype))
    network.cast_to = dtype  # type: ignore[assignment]


def for_network(network: Any, tensor: Tensor) -> Tensor:
    """A float32 tensor in the type that a network takes: call it on what was normalised, just before the network."""
    dtype = getattr(network, "cast_to", None)
    return tensor if dtype is None else tensor.to(dtype)


def _cast(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def _is_kept(path: str, name: str, keep: Collection[str]) -> bool:
    full = f"{path}.{name}" if path else name
    return any(full == kept or full.startswith(f"{kept}.") for kept in keep)
