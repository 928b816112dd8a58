"""Device, precision, and the modes that networks are built and run in."""

from __future__ import annotations

import contextlib
import functools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extractors.engines.math_flags import MathFlags
from storage.errors import InvalidInput

if TYPE_CHECKING:
    import torch
    from torch import Tensor

PRECISIONS = ("float32", "tf32", "bfloat16", "float16")

_GPU_FILES = ("nvidia*", "nvhost*", "nvgpu*", "nvmap", "dxg", "kfd")
"""In ``/dev``, what drivers of NVIDIA (Jetson and WSL too) and AMD make."""
_FLAGS = MathFlags()
_AMPERE = 8
"""Compute capability of the first GPUs with TF32."""


def pick_device(device: str) -> str:
    """Turn ``auto``, ``cpu``, ``cuda`` or ``cuda:N`` into ``cpu`` or ``cuda:N``.

    Raises:
        InvalidInput: If the text is none of these or that GPU is not there.
    """
    check_device_name(device)
    if device == "cpu":
        return "cpu"
    import torch

    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        return "cuda:0" if found else "cpu"
    index = int(device.partition(":")[2] or 0)
    if index >= found:
        raise _too_few(device, found)
    return f"cuda:{index}"


def check_device_name(device: str) -> None:
    """Refuse what cannot be a device here, without importing torch, which takes seconds.

    Raises:
        InvalidInput: If the text names no device, or a GPU on a machine that has no driver of any.
    """
    if device in ("auto", "cpu"):
        return
    kind, separator, index = device.partition(":")
    if kind != "cuda" or bool(separator) != (index.isascii() and index.isdecimal()):
        raise InvalidInput(f"device {device!r}: expected auto, cpu or cuda:N")
    if "torch" not in sys.modules and sys.platform == "linux" and not _has_gpu_driver():
        raise _too_few(device, 0)


def _too_few(device: str, found: int) -> InvalidInput:
    return InvalidInput(f"device {device!r}: this machine has {found} CUDA devices; use cpu or auto")


def _has_gpu_driver() -> bool:
    return any(any(Path("/dev").glob(pattern)) for pattern in _GPU_FILES)


def check_precision(precision: str, device: str) -> str:
    """Return ``precision`` if it can run on ``device``.

    Raises:
        InvalidInput: If it is not known, float16 or TF32 is asked for on a CPU or on a GPU without it, or bfloat16
            kills processes on this CPU.
    """
    if precision not in PRECISIONS:
        raise InvalidInput(f"precision {precision!r}: expected one of {', '.join(PRECISIONS)}")
    if precision == "float16" and device == "cpu":
        raise InvalidInput("precision 'float16' needs a GPU; on a CPU use bfloat16 or float32")
    if precision == "tf32" and device == "cpu":
        raise InvalidInput("precision 'tf32' needs a GPU, NVIDIA's Ampere or newer; on a CPU use float32")
    if precision == "tf32" and not _has_tf32(device):
        raise InvalidInput(f"precision 'tf32': the GPU {device} is older than Ampere and lacks it; use float32")
    if precision == "bfloat16" and device == "cpu" and not _cpu_survives_bfloat16():
        raise InvalidInput(
            "precision 'bfloat16': this CPU (or its virtual machine) dies on it, as one does that reports AMX and "
            "lacks it; set ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16 before starting, or use float32"
        )
    return precision


def _has_tf32(device: str) -> bool:
    import torch

    return torch.cuda.get_device_capability(device)[0] >= _AMPERE


@functools.cache
def _cpu_survives_bfloat16() -> bool:
    """Try one product in another process: an illegal instruction there would be the end of this one."""
    trial = "import torch; torch.ones(64, 64).bfloat16() @ torch.ones(64, 64).bfloat16()"
    return subprocess.run([sys.executable, "-W", "ignore", "-c", trial], capture_output=True).returncode == 0


@contextlib.contextmanager
def inference(precision: str = "float32") -> Iterator[None]:
    """Inference mode in which float32 means float32, unless TF32 was asked for, and the same bits come out each time.

    On CUDA, TF32 is off (cuDNN has it on by default), half types are summed up in float32, and cuDNN picks
    deterministic kernels. On a CPU oneDNN is kept from lowering float32 to bfloat16, AMX or not. These are flags of the
    whole process: other threads compute by them too. The process's own settings are restored afterwards.

    Args:
        precision: one of :data:`PRECISIONS`; ``tf32`` allows products of float32 in TF32.
    """
    import torch

    with _FLAGS.set(precision), torch.inference_mode():
        yield


def to_device(batch: Tensor, device: torch.device) -> Tensor:
    """Copy a batch to the network's device, from pinned memory if that is a GPU."""
    if device.type == "cuda" and batch.device.type == "cpu":
        return batch.pin_memory().to(device, non_blocking=True)
    return batch.to(device)


@contextlib.contextmanager
def skipped_initialisation() -> Iterator[None]:
    """Build modules without torch's random initial values, which :mod:`extractors.weights.loading` replaces anyway."""
    from torch.overrides import TorchFunctionMode

    class _Skip(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if getattr(func, "__module__", None) == "torch.nn.init":
                return (kwargs or {}).get("tensor", args[0] if args else None)
            return func(*args, **(kwargs or {}))

    with _Skip():
        yield
