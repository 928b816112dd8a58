"""The last line: what the run was limited by, and how many cores would keep this GPU busy."""

from __future__ import annotations

import math

from bench import Bench

TYPICAL_DECODE_SECONDS = 0.88
"""Of a core, for a real 10 s clip at 480 × 360 with all views, where none was given to measure it."""


def verdict(bench: Bench) -> str:
    """In the quickest precision that all backbones were measured in."""
    rates = {
        precision: 1 / sum(1 / rate for rate in found.values())
        for precision, found in bench.facts["clips_per_second"].items()
        if found
    }
    if not rates:
        return "bottleneck: not known, no network was measured; cores needed for this GPU: not known"
    complete = max(len(found) for found in bench.facts["clips_per_second"].values())
    whole = [name for name in rates if len(bench.facts["clips_per_second"][name]) == complete]
    precision = max(whole, key=lambda name: rates[name])
    gpu = rates[precision]
    decoding = bench.facts["decode_seconds"]
    decode = decoding.get(360) or next(iter(decoding.values()), TYPICAL_DECODE_SECONDS)
    cores = bench.facts["machine"].get("cores", 1)
    limits = {"the networks": gpu, f"decoding on {cores} cores": cores / decode}
    if thread := bench.facts["main_thread_seconds"].get(precision):
        limits["the engine's thread"] = 1 / thread
    slowest = min(limits, key=lambda name: limits[name])
    measured = "" if decoding else f", a clip's decoding taken as {decode:g} s of a core"
    each = ", ".join(f"{name} {rate:.1f}" for name, rate in limits.items())
    return (
        f"bottleneck: {slowest} ({precision}, clips/s: {each}{measured}); "
        f"cores needed for this GPU: {math.ceil(gpu * decode + gpu * (thread or 0))}"
    )
