"""Refuses what cannot be extracted before anything heavy is imported: a mistyped name costs half a second, not five."""

from __future__ import annotations

from extractors import own_file, registry
from extractors.engines.runtime import check_device_name
from pipeline.extraction.options import ExtractOptions


def refuse_at_once(options: ExtractOptions) -> None:
    """Check names of backbones and devices as far as that needs no library. The rest is checked where they are made.

    Raises:
        UnknownBackbone: If there is none of a name.
        InvalidInput: If a device is none, or this machine has no GPU at all.
    """
    for device in options.devices:
        check_device_name(device)
    for name in options.backbones:
        if name.partition(":")[0] not in registry.FAMILIES and not own_file.is_own_file(name):
            registry.create(name, clip_seconds=options.clip_seconds)
