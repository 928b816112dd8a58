"""Synthetic clips in the shape of LLP: real H.264 and AAC files, with labels known to the second.

Each class has a look (a coloured texture on a moving shape) and a sound (a pitch, a timbre and a rhythm). In a
clip one to three classes occur; each is seen and heard over spans that often differ, overlap with others, or
lie in one modality only. The labels are written in the LLP formats: weak ones for every clip, dense ones for
val and test.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.decode.ffmpeg_binary import ffmpeg_path
from storage.errors import InvalidInput
from storage.tables.llp_names import LLP_CLASSES

CLIP_SECONDS = 10
FRAMES_PER_SECOND = 25
HEIGHT, WIDTH = 240, 320
SAMPLE_RATE_HZ = 44_100
DEMO_CLASSES = ("Speech", "Car", "Dog", "Fire_alarm", "Cello", "Banjo", "Lawn_mower", "Clapping")
_SPRITE = 96


@dataclass(frozen=True)
class Event:
    """One class in one clip.

    Attributes:
        label: an LLP class.
        audio: seconds ``[onset, offset)`` in which it is heard, or ``None``.
        visual: seconds ``[onset, offset)`` in which it is seen, or ``None``.
    """

    label: str
    audio: tuple[int, int] | None
    visual: tuple[int, int] | None


@dataclass(frozen=True)
class SyntheticClip:
    """A clip to be made.

    Attributes:
        name: row name, ``<11 characters>_0_10``.
        split: ``train``, ``val`` or ``test``.
        events: what happens in it.
    """

    name: str
    split: str
    events: tuple[Event, ...]

    @property
    def weak_labels(self) -> tuple[str, ...]:
        """Classes that occur in either modality, in event order."""
        return tuple(event.label for event in self.events)


def plan_clips(
    count: int, *, seed: int = 0, classes: Sequence[str] = DEMO_CLASSES, held_out: int | None = None
) -> tuple[SyntheticClip, ...]:
    """Decide what happens in each clip.

    Args:
        count: clips of all splits.
        seed: same seed, same clips.
        classes: LLP classes to use.
        held_out: clips of val, and as many of test; a sixth of all if not given.

    Raises:
        InvalidInput: If there are fewer than 3 clips, or a class is not one of LLP's.
    """
    if count < 3:
        raise InvalidInput(f"{count} synthetic clips are too few: train, val and test need one each, so at least 3")
    if unknown := [name for name in classes if name not in LLP_CLASSES]:
        raise InvalidInput(f"{unknown[0]!r} is no LLP class; choose among {', '.join(LLP_CLASSES)}")
    random = np.random.default_rng(seed)
    held_out = max(count // 6, 1) if held_out is None else held_out
    clips = []
    for number in range(count):
        split = split_of(number, count, held_out)
        # The first class goes round, so that every class occurs in every part of the set.
        first = classes[number % len(classes)]
        others = [name for name in classes if name != first]
        labels = [first, *random.choice(others, size=min(int(random.integers(0, 3)), len(others)), replace=False)]
        events = tuple(random_event(str(label), random) for label in labels)
        clips.append(SyntheticClip(f"synth-{number:05d}_0_{CLIP_SECONDS}", split, events))
    return tuple(clips)


def split_of(number: int, count: int, held_out: int) -> str:
    """The split of a clip: the last ``held_out`` are for test, as many before them for val."""
    return "test" if number >= count - held_out else "val" if number >= count - 2 * held_out else "train"


def random_event(label: str, random: np.random.Generator) -> Event:
    """Half the events are in step; the others are shifted, or in one modality only."""
    span = _random_span(random)
    kind = random.choice(["same", "shifted", "audio", "visual"], p=[0.5, 0.25, 0.125, 0.125])
    if kind == "same":
        return Event(label, span, span)
    if kind == "shifted":
        return Event(label, span, _random_span(random))
    return Event(label, span if kind == "audio" else None, span if kind == "visual" else None)


def _random_span(random: np.random.Generator) -> tuple[int, int]:
    onset = int(random.integers(0, CLIP_SECONDS - 2))
    return onset, int(random.integers(onset + 2, CLIP_SECONDS + 1))


def write_dataset(
    folder: str | Path,
    *,
    count: int = 24,
    seed: int = 0,
    classes: Sequence[str] = DEMO_CLASSES,
    workers: int = 2,
) -> tuple[SyntheticClip, ...]:
    """Make ``folder/clips/*.mp4`` and ``folder/annotations/AVVP_*.csv``.

    Args:
        folder: made if absent; clips that are there already are made again.
        count: how many clips.
        seed: same seed, same clips.
        classes: LLP classes to use.
        workers: encoders at once.

    Returns:
        What was made.

    Raises:
        InvalidInput: As :func:`plan_clips`, or if ffmpeg refuses.
    """
    clips = plan_clips(count, seed=seed, classes=classes)
    target = Path(folder)
    (target / "clips").mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(workers) as pool:
        jobs = [
            pool.submit(_write_clip, target / "clips" / f"{clip.name[:11]}.mp4", clip, seed=(seed, number))
            for number, clip in enumerate(clips)
        ]
        for job in jobs:
            job.result()
    write_label_files(target, annotation_files(clips))
    return clips


def write_label_files(folder: Path, files: Mapping[str, str]) -> None:
    """Write label files, text by name, into ``folder/annotations``, made if absent."""
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / "annotations" / name).write_text(text, encoding="utf-8")


def annotation_files(clips: Sequence[SyntheticClip]) -> Mapping[str, str]:
    """The label files of LLP for these clips: file name to text."""
    weak = {clip: f"{clip.name}\t{','.join(clip.weak_labels)}\n" for clip in clips}
    files = {"AVVP_dataset_full.csv": "".join(weak.values())}
    for name, split in (("AVVP_train.csv", "train"), ("AVVP_val_pd.csv", "val"), ("AVVP_test_pd.csv", "test")):
        files[name] = "".join(line for clip, line in weak.items() if clip.split == split)
    files = {name: f"filename\tevent_labels\n{text}" for name, text in files.items()}
    for modality in ("audio", "visual"):
        rows = (
            f"{clip.name}\t{span[0]}\t{span[1]}\t{event.label}\n"
            for clip in clips
            if clip.split != "train"
            for event in clip.events
            if (span := event.audio if modality == "audio" else event.visual) is not None
        )
        files[f"AVVP_eval_{modality}.csv"] = "filename\tonset\toffset\tevent_labels\n" + "".join(rows)
    return files


def _write_clip(path: Path, clip: SyntheticClip, *, seed: tuple[int, int]) -> None:
    import ffmpeg

    random = np.random.default_rng(seed)
    sound = path.with_suffix(".f32")
    render_audio(clip, random=random).tofile(sound)
    video = ffmpeg.input(
        "pipe:", format="rawvideo", pix_fmt="rgb24", s=f"{WIDTH}x{HEIGHT}", framerate=FRAMES_PER_SECOND
    )
    audio = ffmpeg.input(f"file:{sound}", format="f32le", ar=SAMPLE_RATE_HZ, ac=1)
    options = {"vcodec": "libx264", "preset": "veryfast", "crf": 23, "pix_fmt": "yuv420p", "acodec": "aac"}
    output = ffmpeg.output(video, audio, f"file:{path}", audio_bitrate="96k", movflags="faststart", **options)
    output = output.global_args("-threads", "1", "-loglevel", "error")
    command = output.compile(cmd=ffmpeg_path(), overwrite_output=True)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as encoder:
        frames = b"".join(frame.tobytes() for frame in render_frames(clip, random=random))
        _, words = encoder.communicate(frames)
    sound.unlink()
    if encoder.returncode:
        raise InvalidInput(f"{path}: ffmpeg could not write it: {words.decode(errors='replace').strip()[-300:]}")


def render_frames(clip: SyntheticClip, *, random: np.random.Generator) -> Iterator[NDArray[np.uint8]]:
    """The clip's pictures: ``[height, width, 3]`` uint8, ``FRAMES_PER_SECOND`` a second."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    tint = random.integers(40, 110, size=3)
    backdrop = tint * (0.6 + 0.4 * (rows / HEIGHT))[..., None] + 10 * np.sin(columns / 23.0)[..., None]
    grain = random.normal(0, 3, size=(4, HEIGHT, WIDTH, 1))
    empty = [np.clip(backdrop + each, 0, 255).astype(np.uint8) for each in grain]
    paths = {event.label: random.uniform(0, 2 * np.pi, size=2) for event in clip.events}
    sprites = {event.label: sprite(event.label) for event in clip.events}
    for number in range(CLIP_SECONDS * FRAMES_PER_SECOND):
        now = number / FRAMES_PER_SECOND
        picture = empty[number % len(empty)].copy()
        for event in clip.events:
            if event.visual and event.visual[0] <= now < event.visual[1]:
                _paste(picture, sprites[event.label], paths[event.label], now)
        yield picture


def _paste(picture: NDArray[np.uint8], patch: NDArray[np.float64], phase: NDArray[np.float64], now: float) -> None:
    """Put a sprite where its path has brought it; NaN is transparent."""
    top = int((HEIGHT - _SPRITE) * (0.5 + 0.5 * np.sin(0.9 * now + phase[0])))
    left = int((WIDTH - _SPRITE) * (0.5 + 0.5 * np.sin(0.7 * now + phase[1])))
    region = picture[top : top + _SPRITE, left : left + _SPRITE]
    drawn = ~np.isnan(patch)
    np.copyto(region, np.clip(patch, 0, 255, where=drawn), casting="unsafe", where=drawn)


def sprite(label: str) -> NDArray[np.float64]:
    """A class's look: ``[96, 96, 3]``, 0 to 255, NaN outside its outline. A function of the class alone."""
    number = LLP_CLASSES.index(label)
    y, x = np.mgrid[-1 : 1 : _SPRITE * 1j, -1 : 1 : _SPRITE * 1j]
    angle = number * 0.7
    across = np.cos(angle) * x + np.sin(angle) * y
    along = np.cos(angle) * y - np.sin(angle) * x
    waves = 3 + number % 5
    texture = [np.sin(np.pi * waves * across), np.sign(np.sin(np.pi * waves * across) * np.sin(np.pi * waves * along))]
    shade = 0.65 + 0.35 * texture[number % 2]
    hue = 2 * np.pi * (number * 0.381966 % 1.0)
    colour = 127.5 + 127.5 * np.cos(hue + np.array([0.0, 2.094, 4.189]))
    corners = 3 + number % 4
    outline = np.hypot(x, y) * (1 + 0.25 * np.cos(corners * np.arctan2(y, x)))
    return np.where((outline < 0.9)[..., None], shade[..., None] * colour, np.nan)


def render_audio(clip: SyntheticClip, *, random: np.random.Generator) -> NDArray[np.float32]:
    """The clip's sound: ``[samples]`` float32 mono at 44.1 kHz, faint noise where nothing is heard."""
    samples = CLIP_SECONDS * SAMPLE_RATE_HZ
    out = 0.004 * random.standard_normal(samples)
    for event in clip.events:
        if event.audio:
            first, last = (second * SAMPLE_RATE_HZ for second in event.audio)
            out[first:last] += timbre(event.label, last - first, random=random)
    return np.asarray(0.9 * np.tanh(out), dtype=np.float32)


def timbre(label: str, samples: int, *, random: np.random.Generator) -> NDArray[np.float64]:
    """A class's sound: harmonics and noise in its own rhythm. Returns ``[samples]``."""
    number = LLP_CLASSES.index(label)
    now = np.arange(samples) / SAMPLE_RATE_HZ
    pitch_hz = 110.0 * 2 ** (number * 5 % 25 / 7.0)
    harmonics = range(1, 3 + number % 4 * 2)
    vibrato = 0.01 * pitch_hz * np.sin(2 * np.pi * 5 * now) * (number % 3 == 0)
    phase = 2 * np.pi * np.cumsum(pitch_hz + vibrato) / SAMPLE_RATE_HZ
    tone = sum(np.sin(k * phase) / k for k in harmonics)
    noise = random.standard_normal(samples)
    share = (number % 4) / 4.0
    rhythm_hz = 0.7 + 1.1 * (number % 6)
    beat = 0.5 + 0.5 * np.sign(np.sin(2 * np.pi * rhythm_hz * now)) if number % 2 else np.ones(samples)
    beat = np.convolve(beat, np.ones(220) / 220, mode="same")
    return np.asarray(0.22 * beat * ((1 - share) * tone + share * noise))
