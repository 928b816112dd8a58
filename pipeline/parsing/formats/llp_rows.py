"""LLP's dense form: a row an interval of whole segments, as the evaluation reads it."""

from __future__ import annotations

import math
import re

from pipeline.datasets.annotation_files import DENSE_COLUMNS
from pipeline.parsing.formats.fields import events_of
from pipeline.parsing.parsed_video import Modality, ParsedVideo
from storage.errors import InvalidInput
from storage.text import visible

_FORBIDDEN = re.compile(r"[\t\r\n\ud800-\udfff]")
"""Field and line ends, and bytes of a file name that are no UTF-8."""

_SLACK = 1e-6
"""Of a segment; a time that is nearer to the grid lies on it."""


def to_tsv(video: ParsedVideo, modality: Modality, *, clip: str) -> str:
    """The events of one modality as rows of ``filename onset offset event_labels``, with tabs between.

    Every segment that an event touches counts: an event that ends with the file at 11.28 s ends at 12 here.

    Args:
        video: the parsed video.
        modality: of the events.
        clip: what the rows call the video; its id in a store.

    Raises:
        InvalidInput: If a name holds a tab or a line end, or begins or ends with a space: this form has no quotes.
    """
    spans: dict[str, list[tuple[int, int]]] = {}
    for event in events_of(video, modality):
        first = math.floor(event.start_seconds / video.segment_seconds + _SLACK)
        last = max(math.ceil(event.end_seconds / video.segment_seconds - _SLACK), first + 1)
        known = spans.setdefault(event.label, [])
        if known and first <= known[-1][1]:  # two events of a class in one segment, or side by side
            known[-1] = (known[-1][0], max(known[-1][1], last))
        else:
            known.append((first, last))
    rows = [(span, video.classes.index(label), label) for label, found in spans.items() for span in found]
    lines = ["\t".join(DENSE_COLUMNS)]
    for (first, last), _, label in sorted(rows):
        times = (f"{edge * video.segment_seconds:.10g}" for edge in (first, last))
        lines.append("\t".join((_checked(clip), *times, _checked(label))))
    return "\n".join(lines) + "\n"


def _checked(name: str) -> str:
    if not name or name != name.strip() or _FORBIDDEN.search(name):
        raise InvalidInput(
            f"{visible(name)!r}: LLP's form has no quotes, so a name in it is UTF-8 without tabs and line ends, and "
            "without spaces at its ends. Rename it, or leave out --format tsv"
        )
    return name
