"""Where a run computes, and in which precision."""

from __future__ import annotations

import os
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pipeline.training.device_names import check_device_name
from storage.errors import InvalidInput

if TYPE_CHECKING:
    from accelerate import Accelerator

_HALF = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def check_device(device: str) -> None:
    """Check that a device can be used, before anything is read.

    Args:
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    Raises:
        InvalidInput: If it is none of these, is not there, or is one GPU for the processes of ``accelerate launch``.
    """
    check_device_name(device)
    if device in ("auto", "cpu"):
        return
    if device == "mps":
        if not torch.backends.mps.is_available():
            raise InvalidInput("--device mps: this machine has none. Use auto or cpu")
        return
    _, separator, index = device.partition(":")
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(index or 0) >= found:
        there = f"cuda:0 to cuda:{found - 1}" if found > 1 else "cuda:0 alone" if found else "no CUDA device"
        raise InvalidInput(f"--device {device}: this machine has {there}. Use another, auto or cpu")
    if separator and _launched() > 1:
        raise InvalidInput(
            f"--device {device}: accelerate launch gives each of its {_launched()} processes a GPU. Leave --device "
            "out, and choose GPUs with accelerate launch --gpu_ids"
        )


def make_accelerator(device: str) -> Accelerator:
    """The accelerator of a run: one device, or the processes of ``accelerate launch``.

    The recipe alone decides the precision, see :func:`autocast`; what accelerate is configured for does not.

    Args:
        device: see :func:`check_device`.

    Raises:
        InvalidInput: If it cannot be used, or this process has trained on another kind of device before.
    """
    from accelerate import Accelerator
    from accelerate.utils import DistributedDataParallelKwargs

    check_device(device)
    if device.startswith("cuda:"):
        torch.cuda.set_device(device)
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    try:
        made = Accelerator(cpu=device == "cpu", mixed_precision="no", kwargs_handlers=[unused])
    except ValueError as problem:  # accelerate keeps one state a process
        raise InvalidInput(f"--device {device}: {problem}") from None
    kind = device.partition(":")[0]
    if kind not in ("auto", made.device.type):
        raise InvalidInput(
            f"--device {device}: this process computes on {made.device.type} already. Train in a process of its own"
        )
    return made


def check_precision(precision: str, device: torch.device) -> None:
    """Check that a device can compute in a precision.

    Args:
        precision: of the recipe.
        device: of the run.

    Raises:
        InvalidInput: If it cannot.
    """
    where = f"train.precision={precision}"
    if precision == "float16" and device.type != "cuda":
        raise InvalidInput(f"{where}: needs a CUDA device, this run is on {device.type}. Use bfloat16 or float32")
    if (
        precision == "bfloat16"
        and device.type == "cuda"
        and not torch.cuda.is_bf16_supported(including_emulation=False)
    ):
        raise InvalidInput(f"{where}: {torch.cuda.get_device_name(device)} lacks it. Use float16 or float32")


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """The context in which a model runs; losses are computed outside, in float32.

    Args:
        precision: of the recipe.
        device: of the run.
    """
    return torch.autocast(device.type, dtype=_HALF.get(precision, torch.bfloat16), enabled=precision in _HALF)


def as_float32(value: Any) -> Any:
    """A model's output with all its floating point tensors in float32; what is so already is not copied.

    Args:
        value: a tensor, or dataclasses and named tuples of tensors.
    """
    if isinstance(value, Tensor):
        return value.float() if value.is_floating_point() else value
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{part.name: as_float32(getattr(value, part.name)) for part in fields(value)})
    if isinstance(value, tuple):
        return type(value)(*(as_float32(part) for part in value))
    return value


def _launched() -> int:
    """Processes of ``accelerate launch``, 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))
