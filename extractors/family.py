"""Families of backbones: all models of a library, by the library's own names, e.g. ``timm:convnext_tiny``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from extractors.base import Extractor
from storage.schema import Modality


@dataclass(frozen=True)
class FoundBackbone:
    """A member of a family, as a search finds it.

    Attributes:
        name: to ask for it by, with the family's prefix.
        modality: ``visual`` or ``audio``.
        dim: values a step; 0 where that is known only after its configuration is fetched.
        megabytes: size of the weights' file; 0 where it is not known.
        cached: whether the weights are on this machine.
    """

    name: str
    modality: Modality
    dim: int = 0
    megabytes: float = 0.0
    cached: bool = False


class Family(ABC):
    """All backbones that share a prefix. Constructing one imports nothing heavy.

    Attributes:
        form: how a name is written, with an example.
    """

    form: ClassVar[str]

    @abstractmethod
    def create(self, name: str, variant: str, *, clip_seconds: int, frames_per_second: int | None) -> Extractor:
        """Make a member without its network and without reaching a network.

        Args:
            name: as it was asked for.
            variant: the part after the prefix, ``@Nfps`` cut off.
            clip_seconds: length of every clip.
            frames_per_second: of ``@Nfps``; ``None`` without it.

        Raises:
            UnknownBackbone: If the library has no such model, names the nearest; or if the model cannot be used, with
                the reason.
        """

    @abstractmethod
    def search(self, pattern: str) -> list[FoundBackbone]:
        """Members whose name, without the prefix, matches a shell pattern such as ``*dinov3*``; sorted by name."""
