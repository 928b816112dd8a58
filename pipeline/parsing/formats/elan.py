"""ELAN: tiers for each modality, with the media linked."""

from __future__ import annotations

import mimetypes
import os
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from pipeline.parsing.formats.fields import SIGN, events_of, milliseconds, one_line, xml_text
from pipeline.parsing.parsed_video import MODALITIES, Event, Modality, ParsedVideo

_FORMAT = "2.7"  # the newest in which a vocabulary needs no languages; every ELAN since 4 reads it
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_VOCABULARY = "classes"
_TIER_TYPE = "events"


def to_eaf(video: ParsedVideo, *, folder: Path) -> str:
    """An ELAN document: one tier a modality, and more where its events overlap, because those of a tier may not.

    The values are the classes, which are a controlled vocabulary too: ELAN offers them when an event is corrected.

    Args:
        video: the parsed video.
        folder: in which the document will lie; the media is linked relative to it, and absolutely.
    """
    root = ET.Element("ANNOTATION_DOCUMENT")
    root.set("AUTHOR", one_line(video.model.name))
    root.set("DATE", datetime.now().astimezone().isoformat(timespec="seconds"))
    root.set("FORMAT", _FORMAT)
    root.set("VERSION", _FORMAT)
    root.set(f"{{{_XSI}}}noNamespaceSchemaLocation", f"http://www.mpi.nl/tools/elan/EAFv{_FORMAT}.xsd")
    ET.register_namespace("xsi", _XSI)
    _add_header(root, video, folder)
    tiers = {
        modality if number == 1 else f"{modality} {number}": lane
        for modality in MODALITIES
        for number, lane in enumerate(_lanes(video, modality), start=1)
    }
    slots = _add_times(root, [event for lane in tiers.values() for event in lane])
    for name, lane in tiers.items():
        tier = ET.SubElement(root, "TIER", TIER_ID=name, LINGUISTIC_TYPE_REF=_TIER_TYPE)
        for event in lane:
            _add_event(tier, next(slots), event)
    _add_vocabulary(root, video)
    ET.indent(root)
    # The comment goes when ELAN saves the document: it tells ours from one that somebody has corrected.
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<!-- {SIGN} -->\n{ET.tostring(root, encoding="unicode")}\n'


def _add_header(root: ET.Element, video: ParsedVideo, folder: Path) -> None:
    header = ET.SubElement(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    media = os.path.abspath(video.path)
    relative = os.path.relpath(media, os.path.abspath(folder))
    # Without percent signs: ELAN takes what follows the scheme as a path, letter by letter, and writes it so.
    ET.SubElement(
        header,
        "MEDIA_DESCRIPTOR",
        MEDIA_URL=xml_text(f"file://{media}"),
        MIME_TYPE=mimetypes.guess_type(media)[0] or "unknown",
        RELATIVE_MEDIA_URL=xml_text(relative if relative.startswith("../") else f"./{relative}"),
    )
    events = len(video.events)
    facts = {"model": one_line(f"{video.model.name} ({video.model.kind})"), "lastUsedAnnotationId": str(events)}
    for name, fact in facts.items():
        ET.SubElement(header, "PROPERTY", NAME=name).text = fact


def _lanes(video: ParsedVideo, modality: Modality) -> list[list[Event]]:
    """The events of a modality in as few lists as possible without overlaps; at least one list."""
    lanes: list[list[Event]] = [[]]
    for event in events_of(video, modality):
        start = milliseconds(event)[0]
        free = [lane for lane in lanes if not lane or milliseconds(lane[-1])[1] <= start]
        if free:
            free[0].append(event)
        else:
            lanes.append([event])
    return lanes


def _add_times(root: ET.Element, events: Sequence[Event]) -> Iterator[tuple[int, str, str]]:
    """Write the time slots by their time. Returns number, first and last slot of each event, in the order given."""
    ends = [(time_ms, at, side) for at, event in enumerate(events) for side, time_ms in enumerate(milliseconds(event))]
    order = ET.SubElement(root, "TIME_ORDER")
    names: dict[tuple[int, int], str] = {}
    for number, (time_ms, at, side) in enumerate(sorted(ends), start=1):
        names[at, side] = f"ts{number}"
        ET.SubElement(order, "TIME_SLOT", TIME_SLOT_ID=names[at, side], TIME_VALUE=str(time_ms))
    return ((at + 1, names[at, 0], names[at, 1]) for at in range(len(events)))


def _add_event(tier: ET.Element, place: tuple[int, str, str], event: Event) -> None:
    number, first, last = place
    annotation = ET.SubElement(
        ET.SubElement(tier, "ANNOTATION"),
        "ALIGNABLE_ANNOTATION",
        ANNOTATION_ID=f"a{number}",
        TIME_SLOT_REF1=first,
        TIME_SLOT_REF2=last,
    )
    ET.SubElement(annotation, "ANNOTATION_VALUE").text = one_line(event.label)


def _add_vocabulary(root: ET.Element, video: ParsedVideo) -> None:
    kind = ET.SubElement(root, "LINGUISTIC_TYPE", LINGUISTIC_TYPE_ID=_TIER_TYPE, TIME_ALIGNABLE="true")
    kind.set("GRAPHIC_REFERENCES", "false")
    kind.set("CONTROLLED_VOCABULARY_REF", _VOCABULARY)
    vocabulary = ET.SubElement(root, "CONTROLLED_VOCABULARY", CV_ID=_VOCABULARY, DESCRIPTION="")
    for name in video.classes:
        ET.SubElement(vocabulary, "CV_ENTRY", DESCRIPTION="").text = one_line(name)
