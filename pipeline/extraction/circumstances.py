"""What a backbone's numbers were computed on: kept in the record of every shard, and part of no identity."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pipeline.extraction.provenance import versions

_DRIVER_FILE = Path("/proc/driver/nvidia/version")
_DRIVER = re.compile(r"Module(?: for \S+)?\s+(\d+(?:\.\d+)+)")


def circumstances_of(*, device: str, engine: str, precision: str, compiled: bool) -> dict[str, Any]:
    """The facts that a run's last bits depend on, beside what the provenance says.

    Args:
        device: ``cpu`` or ``cuda:N``.
        engine: ``torch`` or ``openvino``.
        precision: of the network.
        compiled: whether it runs through ``torch.compile``.

    Returns:
        Plain data. What is not known is left out.
    """
    import torch

    facts: dict[str, Any] = {"device": device}
    if device == "cpu":
        facts["cpu"] = torch.backends.cpu.get_cpu_capability()
    else:
        facts |= {
            "gpu": torch.cuda.get_device_name(device),
            "driver": driver_version(),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "tf32": precision == "tf32",
        }
    facts |= {"engine": engine, engine: versions([engine])[engine], "precision": precision, "compiled": compiled}
    return {name: fact for name, fact in facts.items() if fact is not None}


def driver_version(file: Path = _DRIVER_FILE) -> str | None:
    """The version of NVIDIA's kernel module, as it tells it itself; ``None`` where there is none."""
    try:
        found = _DRIVER.search(file.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
    return found[1] if found else None
