"""Counts the processor cores that this process may use: its affinity, and the CPU quota of its cgroups."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def usable_cores(*, proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """Cores that are ours to use, at least one; a quota of 2.5 cores counts as 2.

    Args:
        proc: the kernel's view of processes.
        cgroups: where cgroups are mounted.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([affinity, *map(int, _quotas(proc, cgroups))]))


def _quotas(proc: Path, cgroups: Path) -> Iterator[float]:
    """The quota in cores of each cgroup that this process is in, of those above it, and of a container's root."""
    lines = (_text(proc / "self" / "cgroup") or "0::/").splitlines()
    for _, controllers, path in (line.split(":", 2) for line in lines if line.count(":") >= 2):
        if not controllers:
            yield from _version_2(cgroups, path)
        elif "cpu" in controllers.split(","):
            for mount in {controllers, "cpu", "cpu,cpuacct"}:
                yield from _version_1(cgroups / mount, path)


def _folders(root: Path, path: str) -> Iterator[Path]:
    """A cgroup and those above it. A container sees its own as the root, whatever its path is outside."""
    here = Path(path.lstrip("/"))
    yield from (root / part for part in [here, *here.parents])


def _version_2(root: Path, path: str) -> Iterator[float]:
    for folder in _folders(root, path):
        quota, _, period = (_text(folder / "cpu.max") or "").strip().partition(" ")
        if quota.isdecimal() and period.isdecimal() and int(period):
            yield int(quota) / int(period)


def _version_1(root: Path, path: str) -> Iterator[float]:
    for folder in _folders(root, path):
        quota = (_text(folder / "cpu.cfs_quota_us") or "").strip()  # -1 for no limit
        period = (_text(folder / "cpu.cfs_period_us") or "").strip()
        if quota.isdecimal() and period.isdecimal() and int(period):
            yield int(quota) / int(period)


def _text(path: Path) -> str | None:
    """A file's text; ``None`` where there is none, as on other systems."""
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return None
