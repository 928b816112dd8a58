"""Plain data types of label groups: embeddings of class names and pseudo labels of clips."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from storage.errors import InvalidInput

Labels = NDArray[np.uint8]
Floats = NDArray[np.float32]

LABEL_GROUPS = ("labels", "pseudo_labels", "noise_ratios")
"""Groups of a store that are written whole: label embeddings, pseudo labels, noise ratios."""

PSEUDO_LOGITS = ("audio_logits", "visual_logits")
"""Arrays of pseudo labels of which there are both or none."""

DECIDED_FROM = 0.5
"""The smallest soft label that counts as one."""


@dataclass(frozen=True)
class LabelSpec:
    """Shape and meaning of one group of label embeddings.

    Attributes:
        name: its group in the store, ``labels/<name>``.
        dataset: whose classes they are, e.g. ``llp``.
        dim: values a class.
        description: one line for people.
    """

    name: str
    dataset: str
    dim: int
    description: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``zarr.json``."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of :meth:`to_json`."""
        return cls(**data)


@dataclass(frozen=True)
class LabelProvenance:
    """Where label embeddings or pseudo labels come from.

    ``maker``, ``code_version``, ``weights``, ``facts`` and ``logit_scale`` are compared when a group is written again.
    The rest is for the record.

    Attributes:
        maker: embedder or teacher.
        code_version: of our code, raised when its numbers change.
        weights: ``random:<seed>`` or ``sha256:<hex>``; empty where there are none.
        facts: everything else that the numbers depend on: pooling, prompts, thresholds …
        logit_scale: what the network multiplies similarities with; ``None`` where it has no such number.
        weights_source: URL, path or package that the weights came from.
        libraries: package versions.
        created: ISO date and time, UTC.
    """

    maker: str
    code_version: str
    weights: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    logit_scale: float | None = None
    weights_source: str = ""
    libraries: Mapping[str, str] = field(default_factory=dict)
    created: str = ""

    IDENTITY = ("maker", "code_version", "weights", "facts", "logit_scale")

    def identity(self) -> dict[str, Any]:
        """The fields that must be equal for two groups to be the same."""
        return {name: json.loads(json.dumps(getattr(self, name))) for name in self.IDENTITY}

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``zarr.json``."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of :meth:`to_json`."""
        return cls(**data)


@dataclass(frozen=True, eq=False)
class LabelEmbeddings:
    """One vector a class.

    Attributes:
        spec: shape and meaning.
        provenance: where they come from.
        classes: names, in the dataset's order.
        prompts: ``[classes][prompts]``, the texts that were embedded.
        vectors: ``[classes, dim]`` float32.
    """

    spec: LabelSpec
    provenance: LabelProvenance
    classes: tuple[str, ...]
    prompts: tuple[tuple[str, ...], ...]
    vectors: Floats


@dataclass(frozen=True, eq=False)
class PseudoLabels:
    """A teacher's labels of every clip and segment.

    Attributes:
        teacher: its group in the store, ``pseudo_labels/<teacher>``.
        provenance: where they come from.
        classes: names, in the dataset's order.
        audio: ``[clips, segments, classes]``, uint8: 1 where the class is heard; or float32: how surely it is, from 0
            to 1 (soft labels).
        visual: likewise, where it is seen.
        known: ``[clips]`` bool, whether the teacher has looked at the clip; all zeros elsewhere mean nothing.
        audio_logits: ``[clips, segments, classes]`` float32, NaN where unknown; ``None`` where none were kept.
        visual_logits: likewise.
    """

    teacher: str
    provenance: LabelProvenance
    classes: tuple[str, ...]
    audio: Labels | Floats
    visual: Labels | Floats
    known: NDArray[np.bool_]
    audio_logits: Floats | None = None
    visual_logits: Floats | None = None

    @property
    def soft(self) -> bool:
        """Whether labels may lie between 0 and 1."""
        return self.audio.dtype.kind == "f" or self.visual.dtype.kind == "f"

    @property
    def audio_video(self) -> Labels | Floats:
        """``[clips, classes]``: heard in any segment, or how surely."""
        found: Labels | Floats = self.audio.max(axis=1, initial=0)
        return found

    @property
    def visual_video(self) -> Labels | Floats:
        """``[clips, classes]``: seen in any segment, or how surely."""
        found: Labels | Floats = self.visual.max(axis=1, initial=0)
        return found

    def arrays(self, *, clips: int) -> dict[str, NDArray[Any]]:
        """What is stored, by name, in the types of the store.

        Args:
            clips: rows of the store.

        Raises:
            InvalidInput: If the shapes do not fit each other or the store, or a soft label is not from 0 to 1.
        """
        shape = (clips, self.audio.shape[1] if self.audio.ndim == 3 else 0, len(self.classes))
        arrays: dict[str, NDArray[Any]] = {part: getattr(self, part) for part in ("audio", "visual")}
        kept = {part: array for part in PSEUDO_LOGITS if (array := getattr(self, part)) is not None}
        for part, array in {**arrays, **kept}.items():
            if array.shape != shape:
                raise InvalidInput(
                    f"pseudo_labels/{self.teacher}: {part} is {list(array.shape)}, expected {list(shape)} "
                    "(clips of the store, segments, classes)"
                )
        if self.known.shape != shape[:1] or len(kept) == 1:
            raise InvalidInput(f"pseudo_labels/{self.teacher}: known must be [{shape[0]}]; logits are both or neither")
        arrays = {part: array.astype(np.float32 if self.soft else np.uint8) for part, array in arrays.items()}
        if self.soft and not all(((array >= 0) & (array <= 1)).all() for array in arrays.values()):
            raise InvalidInput(f"pseudo_labels/{self.teacher}: soft labels must lie between 0 and 1")
        arrays |= {part: array.astype(np.float32) for part, array in kept.items()}
        return arrays | {"known": self.known.astype(bool), "classes": np.array(self.classes, dtype=object)}

    def decided(self) -> tuple[Labels, Labels]:
        """Both, with soft labels of one half and more as 1."""
        audio, visual = (np.asarray(part >= DECIDED_FROM, dtype=np.uint8) for part in (self.audio, self.visual))
        return audio, visual


@dataclass(frozen=True, eq=False)
class NoiseRatios:
    """How many of the weak labels of each class are wrong in each modality.

    Attributes:
        name: its group in the store, ``noise_ratios/<name>``.
        provenance: where they come from.
        classes: names, in the dataset's order.
        audio: ``[classes]`` float32 from 0 to 1: the share of videos with the class in which it is not heard.
        visual: likewise, in which it is not seen.
    """

    name: str
    provenance: LabelProvenance
    classes: tuple[str, ...]
    audio: Floats
    visual: Floats


def class_difference(stored: Sequence[str], expected: Sequence[str]) -> str:
    """What differs between two class lists, in words."""
    if missing := [name for name in expected if name not in stored]:
        return f"is for other classes: it lacks {missing[0]!r} ({len(stored)} classes, expected {len(expected)})"
    if extra := [name for name in stored if name not in expected]:
        return f"is for other classes: it has {extra[0]!r} ({len(stored)} classes, expected {len(expected)})"
    return "has the same classes in another order"
