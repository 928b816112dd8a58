"""Tables from the classes of a trained network (AudioSet's, ImageNet's) to those of a dataset, by names."""

from __future__ import annotations

import importlib.resources
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass as checked_dataclass

from pipeline.datasets.dataset_description import DatasetDescription
from pipeline.toml_tables import FORBID_EXTRA, did_you_mean, parse_toml, read_table
from storage.errors import InvalidInput

Source = Literal["audioset", "imagenet"]
Combine = Literal["max", "sum"]
Floats = NDArray[np.float32]

Names = Annotated[tuple[str, ...], Field(min_length=1, description="a list of names, one or more")]
Threshold = Annotated[float, Field(strict=True, gt=0, le=1, description="a number above 0, at most 1")]

_FOLDER = "teachers"


@dataclass(frozen=True, eq=False)
class TeacherTable:
    """How the probabilities of a network's classes become those of a dataset's.

    Attributes:
        source: whose classes the network was trained on.
        classes: of the dataset.
        combine: ``max`` where several of the network's classes may be true at once, ``sum`` where one is.
        places: for each class of the dataset, indices of the network's; empty where there is no counterpart.
        thresholds: ``[classes]`` float64.
        without: why a class has no counterpart, by class.
    """

    source: Source
    classes: tuple[str, ...]
    combine: Combine
    places: tuple[tuple[int, ...], ...]
    thresholds: NDArray[np.float64]
    without: Mapping[str, str]

    def probabilities(self, scores: Floats) -> Floats:
        """Probabilities of the dataset's classes.

        Args:
            scores: ``[..., classes of the network]``, from 0 to 1.

        Returns:
            ``[..., classes]`` float32, from 0 to 1; 0 where a class has no counterpart.
        """
        found = np.zeros((*scores.shape[:-1], len(self.classes)), dtype=np.float32)
        for label, places in enumerate(self.places):
            if places:
                chosen = scores[..., list(places)]
                found[..., label] = chosen.max(axis=-1) if self.combine == "max" else chosen.sum(axis=-1)
        return np.asarray(np.minimum(found, 1.0), dtype=np.float32)


def shipped_datasets(source: Source) -> tuple[str, ...]:
    """Names of the datasets that a table is shipped for."""
    folder = importlib.resources.files("pipeline.parsing") / _FOLDER
    names = (entry.name for entry in folder.iterdir())
    return tuple(sorted(name[len(source) + 1 : -5] for name in names if name.startswith(f"{source}_")))


def load_teacher_table(source: Source, dataset: DatasetDescription, source_classes: tuple[str, ...]) -> TeacherTable:
    """Read the table that is shipped for a dataset.

    Args:
        source: ``audioset`` or ``imagenet``.
        dataset: whose classes are wanted.
        source_classes: the network's, in its order.

    Raises:
        InvalidInput: If none is shipped for this dataset, or its classes are not those of the shipped one.
    """
    if dataset.name not in shipped_datasets(source):
        known = ", ".join(shipped_datasets(source))
        raise InvalidInput(
            f"{dataset.source or dataset.name}: no table from {source}'s classes to those of {dataset.name!r}; there "
            f"are some for {known}. Train a model for other classes: avvp train"
        )
    name = f"{source}_{dataset.name}.toml"
    text = (importlib.resources.files("pipeline.parsing") / _FOLDER / name).read_text(encoding="utf-8")
    return read_teacher_table(text, dataset, source_classes, where=name)


@checked_dataclass(frozen=True, config=FORBID_EXTRA)
class _TableFile:
    """The whole TOML file."""

    source: Source
    dataset: str
    combine: Combine
    classes: Mapping[str, Names]
    threshold: Threshold = 0.5
    thresholds: Mapping[str, Threshold] = field(default_factory=dict)
    without: Mapping[str, str] = field(default_factory=dict)

    @model_validator(mode="after")
    def _thresholds_are_of_classes(self) -> Self:
        if strange := [name for name in self.thresholds if name not in self.classes]:
            raise ValueError(
                f"thresholds names {strange[0]!r}, which classes lacks.{did_you_mean(strange[0], self.classes)}"
            )
        if both := [name for name in self.without if name in self.classes]:
            raise ValueError(f"{both[0]!r} is in classes and in without; leave it in one of them")
        return self


def read_teacher_table(
    text: str, dataset: DatasetDescription, source_classes: tuple[str, ...], *, where: str
) -> TeacherTable:
    """Read a table and check it against the classes on both sides.

    Args:
        text: TOML.
        dataset: whose classes are wanted.
        source_classes: the network's, in its order.
        where: the file, for messages.

    Raises:
        InvalidInput: If it is malformed, names a class that either side lacks, or leaves a class of the dataset out.
    """
    file = read_table(_TableFile, parse_toml(text, source=where), where=where)
    listed = {**file.classes, **file.without}
    if unknown := [name for name in listed if name not in dataset.classes]:
        near = did_you_mean(unknown[0], dataset.classes)
        raise InvalidInput(f"{where}: {unknown[0]!r} is no class of {dataset.name}.{near}")
    if left := [name for name in dataset.classes if name not in listed]:
        raise InvalidInput(f"{where}: lacks {left[0]!r} of {dataset.name}: give it in [classes], or in [without]")
    index = _index(source_classes)
    return TeacherTable(
        source=file.source,
        classes=dataset.classes,
        combine=file.combine,
        places=tuple(
            tuple(_place(name, index, file.source, where=f"{where}: {label}") for name in file.classes.get(label, ()))
            for label in dataset.classes
        ),
        thresholds=np.array([file.thresholds.get(label, file.threshold) for label in dataset.classes]),
        without=file.without,
    )


def _index(source_classes: tuple[str, ...]) -> dict[str, int]:
    """Places of names; a name that stands for two classes is left out."""
    once = {name for name, count in Counter(source_classes).items() if count == 1}
    return {name: place for place, name in enumerate(source_classes) if name in once}


def _place(name: str, index: Mapping[str, int], source: str, *, where: str) -> int:
    if name not in index:
        raise InvalidInput(f"{where}: {name!r} is no class of {source}.{did_you_mean(name, index)}")
    return index[name]
