"""The base class of all text embedders."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from extractors.weights.inventory import WeightsFile


INITIAL_LOGIT_SCALE = 1 / 0.07
"""Where training starts; what random weights have."""


class TextEmbedder(ABC):
    """A network or a table that turns texts into vectors. Constructing one is cheap; :meth:`load` gets the weights.

    Args:
        name: the name it was asked for by, e.g. ``bert`` or ``clip:ViT-B-32/openai``.
        variant: the part after the prefix for parametrised names, else ``""``.
        options: chosen values of :attr:`options`; others are at their first choice.

    Attributes:
        weights: ``random:<seed>`` or ``sha256:<hex>``; empty before :meth:`load`.
        weights_source: URL, path or package, for people.
        logit_scale: what the network multiplies similarities with; ``None`` where it has no such number.
        logit_bias: what SigLIP adds to them after that; ``None`` for all others.
    """

    code_version: ClassVar[str] = "1"
    options: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Name -> choices, the first being the default. Choices that end in ``…`` stand for free text."""
    normalised: ClassVar[bool] = False
    """Whether vectors have length 1."""
    libraries: ClassVar[tuple[str, ...]] = ()
    """Packages whose versions belong in the provenance."""

    weights: str = ""
    weights_source: str = ""
    logit_scale: float | None = None
    logit_bias: float | None = None

    def __init__(self, *, name: str, variant: str = "", options: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.variant = variant
        self.chosen = {**{option: choices[0] for option, choices in self.options.items()}, **(options or {})}

    @property
    def prompts_of(self) -> str:
        """The embedder whose shipped prompts fit this one; its own name without a variant, unless it says otherwise."""
        return self.name.partition(":")[0]

    @property
    def weights_files(self) -> tuple[WeightsFile, ...]:
        """The official files that ``pretrained`` needs, and whether they are at hand."""
        return ()

    def fetch(self) -> None:
        """Fetch all files that ``pretrained`` needs and that are not at hand.

        Raises:
            WeightsError: If one cannot be had.
        """
        from extractors.weights.several import fetch_files

        fetch_files(self.weights_files)

    @property
    def array_name(self) -> str:
        """The name as a group in a store: ``clip:ViT-B-32/openai`` is ``clip_ViT-B-32_openai``."""
        return re.sub(r"[^A-Za-z0-9._-]+", "_", self.name)

    @property
    def facts(self) -> Mapping[str, Any]:
        """What its numbers depend on besides the weights."""
        return dict(self.chosen)

    @abstractmethod
    def load(self, weights: str, *, device: str = "cpu") -> None:
        """Get the weights and build the network.

        Args:
            weights: ``pretrained``, ``random:SEED`` or a path.
            device: ``auto``, ``cpu`` or ``cuda:N``.

        Raises:
            WeightsError: If they cannot be had or do not fit.
        """

    @abstractmethod
    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts.

        Returns:
            ``[texts, dim]`` float32.

        Raises:
            InvalidInput: If a text has nothing to embed; it is named.
        """
