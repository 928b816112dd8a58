"""Families of backbones: all models of a library, by the library's own names, e.g. ``timm:convnext_tiny``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, ClassVar

from extractors.base import Extractor
from storage.schema import Modality

if TYPE_CHECKING:
    from extractors.weights.inventory import WeightsFile


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

    @classmethod
    def with_files(cls, name: str, modality: Modality, files: Sequence[WeightsFile], *, dim: int = 0) -> FoundBackbone:
        """A member that needs some files: their size together, and whether all are here."""
        return cls(name, modality, dim, sum(file.megabytes for file in files), all(file.present for file in files))


def matches(name: str, pattern: str) -> bool:
    """Whether a name matches a shell pattern such as ``*dinov3*``, in any case of letters."""
    return fnmatchcase(name.lower(), pattern.lower())


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
        """Members whose name, without the prefix, :func:`matches` a pattern; sorted by name."""
