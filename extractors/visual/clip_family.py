"""All of open_clip's models and weights by name: ``clip:MODEL/PRETRAINED``."""

from __future__ import annotations

from typing import ClassVar

from extractors.base import Extractor
from extractors.family import Family, FoundBackbone, matches
from extractors.visual.clip import ClipImage


class ClipFamily(Family):
    """See :class:`~extractors.visual.clip.ClipImage`."""

    form: ClassVar[str] = "clip:<model>/<pretrained>, e.g. clip:ViT-B-32/openai"

    def create(self, name: str, variant: str, *, clip_seconds: int, frames_per_second: int | None) -> Extractor:
        """See :meth:`Family.create`."""
        return ClipImage(name=name, variant=variant, clip_seconds=clip_seconds, frames_per_second=frames_per_second)

    def search(self, pattern: str) -> list[FoundBackbone]:
        """See :meth:`Family.search`."""
        import open_clip

        names = sorted(f"{model}/{tag}" for model, tag in open_clip.list_pretrained())
        return [_found(f"clip:{name}") for name in names if matches(name, pattern)]


def _found(name: str) -> FoundBackbone:
    made = ClipImage(name=name, variant=name.partition(":")[2])
    return FoundBackbone.with_files(name, "visual", made.weights_files, dim=made.dim)
