"""Plans made-up clips with LLP's class frequencies and a chosen share of segments with several events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from pipeline.synthetic.dataset import CLIP_SECONDS, DEMO_CLASSES, Event, SyntheticClip, random_event, split_of
from pipeline.synthetic.llp_counts import llp_counts
from storage.errors import InvalidInput

Frequencies = Literal["even", "llp"]
_SHORTEST = 2


@dataclass(frozen=True)
class _Draft:
    """A clip whose spans are not decided yet: each class's span where events keep apart, and where they coincide."""

    labels: tuple[str, ...]
    kinds: tuple[str, ...]
    apart: tuple[tuple[int, int], ...]
    together: tuple[tuple[int, int], ...]
    draw: float

    def events(self, *, together: bool) -> tuple[Event, ...]:
        spans = self.together if together else self.apart
        return tuple(_event(*each) for each in zip(self.labels, self.kinds, spans, strict=True))


def plan_llp_like(
    count: int, *, held_out: int, seed: int = 0, classes: Sequence[str] = DEMO_CLASSES,
    frequencies: Frequencies = "llp", overlap: float | None = None,
) -> tuple[SyntheticClip, ...]:  # fmt: skip
    """Decide what happens in each clip.

    With an overlap, events last 2 to 5 seconds (2 or 3 where there are three). Clips of the same seed have the same
    classes, and events of the same length, whatever the overlap: only when they happen differs.

    Args:
        count: clips of all splits.
        held_out: clips of val, and as many of test; they come last.
        seed: same seed, same clips.
        classes: that occur.
        frequencies: ``llp`` draws the classes of a clip together, as often as they occur in LLP's training clips;
            ``even`` gives each class its turn, and up to two others.
        overlap: share of segments with several events, see :func:`overlap_share`; spans are free if not given.

    Raises:
        InvalidInput: If LLP has no clip with these classes alone, or so much overlap cannot be.
    """
    random = np.random.default_rng([seed, 17])
    labels = _labels(count, classes, frequencies, random)
    names = [(f"synth-{number:05d}_0_{CLIP_SECONDS}", split_of(number, count, held_out)) for number in range(count)]
    if overlap is None:
        made = [tuple(random_event(label, random) for label in each) for each in labels]
    else:
        drafts = [_draft(each, random) for each in labels]
        share = _share_together(drafts, overlap)
        made = [draft.events(together=draft.draw < share) for draft in drafts]
    return tuple(SyntheticClip(*name, events) for name, events in zip(names, made, strict=True))


def overlap_share(clips: Sequence[SyntheticClip]) -> float:
    """Share of segments with several events among those with any, both modalities counted.

    Returns:
        0 to 1; 0 where nothing happens.
    """
    several, some = _segments([clip.events for clip in clips])
    return several / max(some, 1)


def _labels(
    count: int, classes: Sequence[str], frequencies: Frequencies, random: np.random.Generator
) -> list[tuple[str, ...]]:
    if frequencies not in get_args(Frequencies):
        raise InvalidInput(f"frequencies {frequencies!r}: expected one of {', '.join(get_args(Frequencies))}")
    if frequencies == "even":
        return [_in_turn(number, classes, random) for number in range(count)]
    known = llp_counts().among(classes)
    if not known:
        raise InvalidInput(f"LLP has no training clip with {', '.join(classes)} alone: give more classes")
    sets, weights = list(known), np.array(list(known.values()), dtype=float)
    return [sets[int(drawn)] for drawn in random.choice(len(sets), size=count, p=weights / weights.sum())]


def _in_turn(number: int, classes: Sequence[str], random: np.random.Generator) -> tuple[str, ...]:
    first = classes[number % len(classes)]
    others = [name for name in classes if name != first]
    more = random.choice(others, size=min(int(random.integers(0, 3)), len(others)), replace=False)
    return (first, *(str(name) for name in more))


def _draft(labels: tuple[str, ...], random: np.random.Generator) -> _Draft:
    """Draws the same numbers whatever becomes of them, so that two overlaps differ in nothing else."""
    spans = llp_counts().spans
    shares = np.array(list(spans.values())) / sum(spans.values())
    kinds = tuple(str(kind) for kind in random.choice(list(spans), size=len(labels), p=shares))
    longest = CLIP_SECONDS // max(len(labels), 2)
    lengths = random.integers(_SHORTEST, longest + 1, size=len(labels))
    together = _nested(lengths, random)
    return _Draft(labels, kinds, _in_a_row(lengths, random), together, float(random.random()))


def _in_a_row(lengths: NDArray[np.int64], random: np.random.Generator) -> tuple[tuple[int, int], ...]:
    """Spans that share no second, in random order with random gaps."""
    spare = CLIP_SECONDS - int(lengths.sum())
    cuts, order = np.sort(random.integers(0, spare + 1, size=len(lengths))), random.permutation(len(lengths))
    spans, taken = {}, 0
    for place, gap in zip(order, cuts, strict=True):
        first = taken + int(gap)
        spans[int(place)] = first, first + int(lengths[place])
        taken += int(lengths[place])
    return tuple(spans[place] for place in range(len(lengths)))


def _nested(lengths: NDArray[np.int64], random: np.random.Generator) -> tuple[tuple[int, int], ...]:
    """Spans that lie inside the longest."""
    longest = int(lengths.max())
    first = int(random.integers(0, CLIP_SECONDS - longest + 1))
    starts = [first + int(random.integers(0, longest - int(length) + 1)) for length in lengths]
    return tuple((start, start + int(length)) for start, length in zip(starts, lengths, strict=True))


def _event(label: str, kind: str, span: tuple[int, int]) -> Event:
    """What is seen and heard in different seconds is heard a second before it is seen."""
    later = (span[0] + 1, span[1])
    spans = {"same": (span, span), "different": (span, later), "audio": (span, None), "visual": (None, span)}
    return Event(label, *spans[kind])


def _share_together(drafts: Sequence[_Draft], overlap: float) -> float:
    """Share of clips whose events must coincide."""
    apart, coinciding = (_segments([draft.events(together=how) for draft in drafts]) for how in (False, True))
    most = coinciding[0] / max(coinciding[1], 1)
    if not 0 <= overlap <= most:
        raise InvalidInput(
            f"overlap {overlap:g}: expected 0 to {most:.2f}, as some clips have one class and some events one modality"
        )
    return overlap * apart[1] / max(coinciding[0] + overlap * (apart[1] - coinciding[1]), 1)


def _segments(clips: Sequence[Sequence[Event]]) -> tuple[int, int]:
    """Segments with several events, and with any, of both modalities."""
    several = some = 0
    for events in clips:
        for spans in ([event.audio for event in events], [event.visual for event in events]):
            twice = once = 0  # a bit a second
            for first, end in filter(None, spans):
                seconds = (1 << end) - (1 << first)
                twice, once = twice | (once & seconds), once | seconds
            several, some = several + twice.bit_count(), some + once.bit_count()
    return several, some
