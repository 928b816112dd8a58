"""Label Studio: a task with the events as predictions, and the labelling configuration that it needs.

The configuration is that of Label Studio's template for video timelines: the picture plays beside the waveform of the
same file, and regions lie on the waveform. Their times are seconds, so that no frame rate is needed.
"""

from __future__ import annotations

import json
import math
import os
import xml.etree.ElementTree as ET
from typing import Any
from urllib.parse import quote

from pipeline.parsing.formats.fields import events_of, milliseconds, one_line
from pipeline.parsing.parsed_video import MODALITIES, Event, Modality, ParsedVideo
from storage.text import visible_json

_LOOKS: dict[Modality, tuple[str, str]] = {"audio": ("Heard", "#1f77b4"), "visual": ("Seen", "#ff7f0e")}
"""Title and colour of each modality's labels."""


def to_tasks(video: ParsedVideo) -> str:
    """A list with one task, as a project's Import takes it.

    The media is named as Label Studio serves local files, by its absolute path. The score of a region is the mean of
    its probability.
    """
    regions = [_region(video, event, number) for number, event in enumerate(_ordered(video), start=1)]
    scores = [region["score"] for region in regions if "score" in region]
    prediction: dict[str, Any] = {"model_version": _version(video), "result": regions}
    if scores:
        prediction["score"] = round(sum(scores) / len(scores), 4)
    notes = "\n".join(one_line(note) for note in video.notes)
    data = {"video": _url(video), "file": one_line(video.path.name), "notes": notes}
    tasks = [{"data": data, "predictions": [prediction]}]
    return visible_json(json.dumps(tasks, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def to_config(video: ParsedVideo) -> str:
    """The labelling configuration: a player, a waveform, and the classes once a modality.

    A file without sound has a bare time line instead of the waveform.
    """
    root = ET.Element("View")
    ET.SubElement(root, "Video", name="video", value="$video", sync="audio", height="360")
    audio = ET.SubElement(root, "Audio", name="audio", value="$video", sync="video", height="160")
    if video.probabilities and "audio" not in video.probabilities:
        audio.set("decoder", "none")  # else Label Studio finds no sound to decode, and shows no region either
    for modality in MODALITIES:
        title, colour = _LOOKS[modality]
        ET.SubElement(root, "Header", value=title)
        labels = ET.SubElement(root, "Labels", name=_control(modality), toName="audio")
        for name in video.classes:
            ET.SubElement(labels, "Label", value=one_line(name), background=colour)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def _ordered(video: ParsedVideo) -> list[Event]:
    return [event for modality in MODALITIES for event in events_of(video, modality)]


def _region(video: ParsedVideo, event: Event, number: int) -> dict[str, Any]:
    start, end = milliseconds(event)
    region: dict[str, Any] = {
        "id": f"{event.modality}-{number}",
        "from_name": _control(event.modality),
        "to_name": "audio",
        "type": "labels",
        "origin": "prediction",
        "original_length": video.duration_seconds,
        "value": {"start": start / 1000, "end": end / 1000, "channel": 0, "labels": [one_line(event.label)]},
    }
    if math.isfinite(event.mean):
        region["score"] = round(float(event.mean), 4)
    return region


def _control(modality: Modality) -> str:
    return f"{modality}_events"


def _url(video: ParsedVideo) -> str:
    path = os.fsencode(os.path.abspath(video.path)).removeprefix(b"/")
    return f"/data/local-files/?d={quote(path)}"


def _version(video: ParsedVideo) -> str:
    random = " with random weights" if video.model.random else ""
    return one_line(f"{video.model.name} ({video.model.kind}{random})")
