"""What an MM-CSE run makes of classes: attention between them, and their vectors in two dimensions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.llp import Annotations
from pipeline.reports.class_pictures import co_occurrence_svg, scatter_svg
from pipeline.reports.svg import write_svg
from pipeline.training.run_store import open_run_store
from storage.errors import InvalidInput

if TYPE_CHECKING:
    from pipeline.models.predictions import MMCSEAuxiliary

Floats = NDArray[np.float32]
_BATCH = 16
_MOST_POINTS = 1500
_FEWEST_POINTS = 10
_PERPLEXITY = 30
_STREAMS = ("audio", "visual")
_PAIRS = ("audio_audio", "audio_visual", "visual_visual", "visual_audio")


@dataclass(frozen=True, eq=False)
class ClassVectors:
    """Inner values of MM-CSE for true events of a split.

    Attributes:
        classes: names.
        attention: by pair of streams, ``[classes, classes]``: mean over segments with an event; rows ask.
        together: likewise, the share of a row's true segments in which the column's class is true too.
        points: by ``holistic audio``, ``decoupled visual`` …: values ``[points, dim]`` and the class of each. Holistic
            ones are the features of segments with one event, before they are decoupled; decoupled ones the vectors of
            the true classes of a segment.
    """

    classes: tuple[str, ...]
    attention: Mapping[str, Floats]
    together: Mapping[str, Floats]
    points: Mapping[str, tuple[Floats, NDArray[np.intp]]]


def write_class_vectors(
    run: Path, annotations: Annotations, split: str, folder: Path, *, picture: str, store_url: str | None = None
) -> list[Path]:
    """Write a picture of a run and the arrays it shows.

    Args:
        run: of MM-CSE.
        annotations: of the dataset.
        split: whose clips.
        folder: made if absent; ``NAME.svg`` and ``NAME.npz`` are written there, ``NAME`` being the picture's.
        picture: ``co_occurrence``, attention between classes beside the true co-occurrence; or ``class_vectors``, a
            t-SNE of features before and after they are decoupled.
        store_url: see :func:`pipeline.training.run_store.open_run_store`.

    Raises:
        InvalidInput: If the run is of another system, or no clip of the split is in the store.
        ImportError: If scikit-learn is not installed.

    Source: MM-CSE (Zhao et al., AAAI 2025), figures 4 and 5.
    """
    found = class_vectors(run, annotations, split, store_url=store_url)
    arrays: dict[str, NDArray[Any]] = {"classes": np.asarray(found.classes)}
    if picture == "co_occurrence":
        svg = co_occurrence_svg(found.classes, found.attention, found.together)
        arrays |= {f"{pair}_attention": values for pair, values in found.attention.items()}
        arrays |= {f"{pair}_true": values for pair, values in found.together.items()}
    else:
        panels = _panels(found)
        svg = scatter_svg(found.classes, panels)
        for title, (points, labels) in panels.items():
            arrays |= {f"{title}: points": points, f"{title}: classes": labels}
    target = folder / f"{picture}.svg"
    write_svg(target, svg)
    with target.with_suffix(".npz").open("wb") as file:
        np.savez_compressed(file, **arrays)
    return [target, target.with_suffix(".npz")]


def class_vectors(run: Path, annotations: Annotations, split: str, *, store_url: str | None = None) -> ClassVectors:
    """Collect what the pictures show; arguments and errors as for :func:`write_class_vectors`."""
    import torch

    from pipeline.models.decoders.mmcse import MMCSE
    from pipeline.training.predict import forward
    from pipeline.training.run_inputs import model_and_clips

    model, labels, clips = model_and_clips(run, open_run_store(run, store_url), annotations, split)
    if not isinstance(model, MMCSE):
        raise InvalidInput(f"{run}: has no vectors of classes. Give a run of MM-CSE")
    collected = _Collected(annotations.dataset.classes)
    for first in range(0, len(clips), _BATCH):
        places = np.arange(first, min(first + _BATCH, len(clips)))
        with torch.inference_mode():
            out: Any = forward(model, clips.batch(places), labels, torch.device("cpu"))
        truth = {"audio": clips.annotations.audio[places], "visual": clips.annotations.visual[places]}
        collected.add(out.auxiliary, truth)
    return collected.whole()


class _Collected:
    """Adds up batches."""

    def __init__(self, classes: tuple[str, ...]) -> None:
        self._classes = classes
        self._segments = 0
        self._attention: dict[str, Floats] = {}
        self._together: dict[str, Floats] = {}
        self._points: dict[str, list[Any]] = {
            f"{kind} {stream}": [] for stream in _STREAMS for kind in ("holistic", "decoupled")
        }

    def add(self, found: MMCSEAuxiliary, truth: Mapping[str, NDArray[np.bool_]]) -> None:
        """Take a batch; ``truth`` is ``[clips, segments, classes]`` a stream."""
        some = (truth["audio"] | truth["visual"]).any(axis=-1)
        self._segments += int(some.sum())
        for pair in _PAIRS:
            asks, answers = pair.split("_")
            true = np.einsum("btk,btl->kl", truth[asks].astype(np.float32), truth[answers].astype(np.float32))
            self._together[pair] = self._together.get(pair, 0) + true
            if (map_ := getattr(found.co_occurrence, pair)) is not None:
                self._attention[pair] = self._attention.get(pair, 0) + map_.numpy()[some].sum(axis=0)
        for stream in _STREAMS:
            alone = truth[stream] & (truth[stream].sum(axis=-1, keepdims=True) == 1)
            clips, segments, classes = np.nonzero(alone)
            self._points[f"holistic {stream}"].append((getattr(found.inputs, stream).numpy()[clips, segments], classes))
            clips, segments, classes = np.nonzero(truth[stream])
            vectors = getattr(found.decoupled, stream).numpy()[clips, segments, classes]
            self._points[f"decoupled {stream}"].append((vectors, classes))

    def whole(self) -> ClassVectors:
        """What all batches have."""
        attention = {pair: values / max(self._segments, 1) for pair, values in self._attention.items()}
        seconds = {stream: self._together[f"{stream}_{stream}"].diagonal()[:, None] for stream in _STREAMS}
        together = {
            pair: values / np.maximum(seconds[pair.split("_")[0]], 1) for pair, values in self._together.items()
        }
        points = {
            name: (np.concatenate([one for one, _ in parts]), np.concatenate([classes for _, classes in parts]))
            for name, parts in self._points.items()
        }
        return ClassVectors(self._classes, attention, together, points)


def _panels(found: ClassVectors) -> dict[str, tuple[Floats, NDArray[np.intp]]]:
    """Points in two dimensions and the class of each, by what they are."""
    from sklearn.manifold import TSNE

    panels = {}
    for name, (values, classes) in found.points.items():
        step = -(-len(values) // _MOST_POINTS) or 1
        values, classes = values[::step], classes[::step]
        if len(values) < _FEWEST_POINTS:
            raise InvalidInput(f"t-SNE of {name}: {len(values)} true events in this split, expected {_FEWEST_POINTS}")
        perplexity = min(_PERPLEXITY, (len(values) - 1) / 3)
        flat = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(values.astype(np.float32))
        panels[name] = flat.astype(np.float32), classes
    return panels
