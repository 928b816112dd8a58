"""The ten scores of audio-visual video parsing and their average, exactly as in the published code.

Each score is computed per video and then averaged over videos. The scores of a subset or a bootstrap sample are
therefore means of rows of :func:`video_scores`.

Source: HAN (Tian et al., ECCV 2020, https://arxiv.org/abs/2007.10558), section 5, and its published code, whose
evaluation MM-Pyramid, VALOR, MM-CSE and LEAP share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from pipeline.metrics.counts import Bools, Counts, Floats, as_bools, event_counts, segment_counts
from storage.errors import InvalidInput


@dataclass(frozen=True)
class ParsingScores:
    """The ten scores and their average, in percent.

    Attributes:
        seg_a: segment F1 of audio.
        seg_v: segment F1 of the visual stream.
        seg_av: segment F1 of what is heard and seen at once.
        seg_type: mean of the three above ("Type@AV").
        seg_event: segment F1 with audio and visual counts pooled ("Event@AV").
        ev_a: event F1 of audio, and so on.
        ev_v: event F1 of the visual stream.
        ev_av: event F1 of what is heard and seen at once.
        ev_type: mean of the three above.
        ev_event: event F1 with audio and visual counts pooled.
        average: mean of the ten.
    """

    seg_a: float
    seg_v: float
    seg_av: float
    seg_type: float
    seg_event: float
    ev_a: float
    ev_v: float
    ev_av: float
    ev_type: float
    ev_event: float
    average: float

    def as_dict(self) -> dict[str, float]:
        """The scores by name, in the order above."""
        return asdict(self)


SCORES: tuple[str, ...] = tuple(field.name for field in fields(ParsingScores))
"""Names of the scores, in order."""

HEADINGS: Mapping[str, str] = {
    "seg_a": "seg A", "seg_v": "seg V", "seg_av": "seg AV", "seg_type": "seg Type@AV", "seg_event": "seg Event@AV",
    "ev_a": "ev A", "ev_v": "ev V", "ev_av": "ev AV", "ev_type": "ev Type@AV", "ev_event": "ev Event@AV",
    "average": "Avg",
}  # fmt: skip
"""Headings of a table, by score."""


@dataclass(frozen=True)
class VideoScores:
    """The scores of each video, in percent.

    Attributes:
        values: ``[videos, 11]``, columns as in :data:`SCORES`.
    """

    values: Floats

    def __len__(self) -> int:
        return len(self.values)

    def mean(self) -> ParsingScores:
        """Average over videos."""
        if not len(self):
            raise InvalidInput("no videos to average over: the subset is empty")
        return ParsingScores(*(float(value) for value in self.values.mean(axis=0)))

    def select(self, rows: ArrayLike) -> Self:
        """Select videos by a bool mask or by their indices."""
        return type(self)(self.values[np.asarray(rows)])


def parsing_scores(
    pred_audio: ArrayLike, pred_visual: ArrayLike, true_audio: ArrayLike, true_visual: ArrayLike
) -> ParsingScores:
    """Score decisions, in percent.

    Args:
        pred_audio: ``[videos, segments, classes]`` bool, thresholded and masked (:mod:`pipeline.metrics.decisions`).
        pred_visual: the same shape.
        true_audio: the same shape.
        true_visual: the same shape.

    Raises:
        InvalidInput: If shapes differ or an array holds anything but decisions.
    """
    return video_scores(pred_audio, pred_visual, true_audio, true_visual).mean()


def video_scores(
    pred_audio: ArrayLike, pred_visual: ArrayLike, true_audio: ArrayLike, true_visual: ArrayLike
) -> VideoScores:
    """The scores of each video; arguments as for :func:`parsing_scores`.

    In one video the F1 of each class that is predicted or true is averaged over those classes. A video where no
    class is either has F1 1.
    """
    arrays = matching(pred_audio, pred_visual, true_audio, true_visual)
    columns = [*_five(segment_counts, *arrays), *_five(event_counts, *arrays)]
    columns.append(np.mean(columns, axis=0))
    return VideoScores(100.0 * np.stack(columns, axis=1))


def nothing_predicted(true_audio: ArrayLike, true_visual: ArrayLike) -> ParsingScores:
    """Scores of predicting nothing on these videos: the baseline of a parser."""
    nothing = np.zeros_like(true_audio, dtype=bool)
    return parsing_scores(nothing, nothing, true_audio, true_visual)


def matching(
    pred_audio: ArrayLike, pred_visual: ArrayLike, true_audio: ArrayLike, true_visual: ArrayLike
) -> tuple[Bools, Bools, Bools, Bools]:
    """Check the four arrays of :func:`parsing_scores`.

    Raises:
        InvalidInput: If shapes differ or an array holds anything but decisions.
    """
    given = {
        "pred_audio": pred_audio, "pred_visual": pred_visual, "true_audio": true_audio, "true_visual": true_visual,
    }  # fmt: skip
    first, *others = arrays = [as_bools(array, name) for name, array in given.items()]
    if any(array.shape != first.shape for array in others):
        shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in zip(given, arrays, strict=True))
        raise InvalidInput(f"shapes differ: {shapes}; expected one [videos, segments, classes] for all four")
    return arrays[0], arrays[1], arrays[2], arrays[3]


def three_counts(
    count: Callable[[Bools, Bools], Counts],
    pred_audio: Bools,
    pred_visual: Bools,
    true_audio: Bools,
    true_visual: Bools,
) -> tuple[Counts, Counts, Counts]:
    """Counts of audio, of the visual stream and of both at once.

    Args:
        count: :func:`segment_counts` or :func:`event_counts`.
        pred_audio: ``[videos, segments, classes]``.
        pred_visual: the same shape.
        true_audio: the same shape.
        true_visual: the same shape.
    """
    return (
        count(pred_audio, true_audio),
        count(pred_visual, true_visual),
        count(pred_audio & pred_visual, true_audio & true_visual),
    )


def _five(
    count: Callable[[Bools, Bools], Counts],
    pred_audio: Bools,
    pred_visual: Bools,
    true_audio: Bools,
    true_visual: Bools,
) -> list[Floats]:
    """Audio, visual, both at once, their mean, and audio and visual pooled: five columns ``[videos]``, 0 to 1."""
    audio, visual, both = three_counts(count, pred_audio, pred_visual, true_audio, true_visual)
    each = [mean_over_classes(counts) for counts in (audio, visual, both)]
    return [*each, np.mean(each, axis=0), mean_over_classes(audio + visual)]


def mean_over_classes(counts: Counts) -> Floats:
    """Mean F1 over the active classes of each video, 1 where there are none: ``[videos]``."""
    f1 = counts.f1()
    active = ~np.isnan(f1)
    number = active.sum(axis=1)
    total = np.where(active, f1, 0.0).sum(axis=1)
    return np.divide(total, number, out=np.ones(len(f1)), where=number > 0)
