"""Names of LLP (Look, Listen, and Parse): its files, classes and rows (``<11-character id>_<start>_<end>``)."""

from __future__ import annotations

import re
from dataclasses import dataclass

YOUTUBE_ID_LENGTH = 11

LLP_SPLIT_FILES = {"AVVP_train.csv": "train", "AVVP_val_pd.csv": "val", "AVVP_test_pd.csv": "test"}
"""The weak label files in row order, with the split of each."""

LLP_CLASSES = (
    "Speech", "Car", "Cheering", "Dog", "Cat", "Frying_(food)", "Basketball_bounce", "Fire_alarm", "Chainsaw",
    "Cello", "Banjo", "Singing", "Chicken_rooster", "Violin_fiddle", "Vacuum_cleaner", "Baby_laughter",
    "Accordion", "Lawn_mower", "Motorcycle", "Helicopter", "Acoustic_guitar", "Telephone_bell_ringing",
    "Baby_cry_infant_cry", "Blender", "Clapping",
)  # fmt: skip
"""The 25 classes in the order of every published label array."""

_SPAN = re.compile(r"_(\d+(?:\.\d+)?)_(\d+(?:\.\d+)?)", re.ASCII)


@dataclass(frozen=True)
class LlpName:
    """The parts of a row name.

    Attributes:
        youtube_id: 11 characters; may contain ``_`` and ``-``.
        start_seconds: in the YouTube video.
        end_seconds: in the YouTube video.
    """

    youtube_id: str
    start_seconds: float
    end_seconds: float


def parse_llp_name(name: str) -> LlpName | None:
    """Split a row name into its parts; ``None`` if it is malformed."""
    match = _SPAN.fullmatch(name[YOUTUBE_ID_LENGTH:])
    if match is None or not re.fullmatch(r"[\w-]{11}", name[:YOUTUBE_ID_LENGTH], re.ASCII):
        return None
    start, end = float(match[1]), float(match[2])
    return LlpName(name[:YOUTUBE_ID_LENGTH], start, end) if end > start else None


def split_of_file(filename: str) -> str:
    """The split of a weak label file, by its name; empty for other names."""
    return LLP_SPLIT_FILES.get(filename, "")
