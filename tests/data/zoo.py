"""A zoo of media files: containers x codecs x groups of pictures x starts x sound x oddities, made by ffmpeg.

Each picture carries its own number in blocks of 8 pixels, and a tone sounds at k + 0.2 s. What is right is read by
decoding every packet in order with PyAV, each picture and each sound frame at its own time (:func:`truth_of`).
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.filter
import numpy as np

WIDTH, HEIGHT, BITS = 128, 96, 12
SECONDS, RATE = 15, 48_000
X264 = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "22", "-pix_fmt", "yuv420p")
X265 = ("-c:v", "libx265", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
QUIET265 = "log-level=none"
VP8 = ("-c:v", "libvpx", "-b:v", "300k", "-deadline", "realtime", "-cpu-used", "8")
VP9 = ("-c:v", "libvpx-vp9", "-b:v", "300k", "-deadline", "realtime", "-cpu-used", "8")
AV1 = ("-c:v", "libaom-av1", "-b:v", "300k", "-usage", "realtime", "-cpu-used", "8")
MPEG4 = ("-c:v", "mpeg4", "-q:v", "4")
MPEG2 = ("-c:v", "mpeg2video", "-q:v", "6")
MPEG1 = ("-c:v", "mpeg1video", "-q:v", "6")
AAC, MP3, OPUS = ("-c:a", "aac", "-b:a", "96k"), ("-c:a", "libmp3lame"), ("-c:a", "libopus", "-b:a", "64k")
VORBIS, FLAC, PCM = ("-c:a", "libvorbis"), ("-c:a", "flac"), ("-c:a", "pcm_s16le")
AC3, MP2, WMA = ("-c:a", "ac3"), ("-c:a", "mp2"), ("-c:a", "wmav2")
GOPS = {
    "closed": ("-g", "50"),
    "short": ("-g", "12"),
    "onekey": ("-g", "9999", "-sc_threshold", "0"),
    "intra": ("-g", "1"),
}
X264_GOPS = {
    **GOPS,
    "open": ("-g", "50", "-x264-params", "open-gop=1:bframes=3:b-adapt=0:scenecut=0"),
    "pyramid": ("-g", "50", "-bf", "5", "-x264-params", "b-pyramid=normal"),
    "refresh": ("-g", "50", "-x264-params", "intra-refresh=1"),
}
X265_GOPS = {
    "open": ("-g", "50", "-x265-params", QUIET265),
    "closed": ("-g", "50", "-x265-params", f"{QUIET265}:open-gop=0"),
    "pyramid": ("-g", "60", "-x265-params", f"{QUIET265}:bframes=4:b-pyramid=1"),
    "intra": ("-g", "1", "-x265-params", QUIET265),
    "onekey": ("-g", "9999", "-x265-params", f"{QUIET265}:scenecut=0"),
}
B_GOPS = {
    "open": ("-g", "25", "-bf", "2"),
    "closed": ("-g", "25", "-bf", "2", "-flags", "+cgop", "-sc_threshold", "1000000000"),
    "plain": ("-g", "25", "-bf", "0"),
    "intra": ("-g", "1"),
}


@dataclass(frozen=True)
class Case:
    """One file.

    Attributes:
        name: with its suffix.
        video: options of the picture's encoder.
        audio: options of the sound's encoder; empty for none.
        after: options of the output.
        copy: options of a second run that only copies streams; ``None`` for none. ``{in}`` options come first.
        before: options before the inputs of the second run.
        fps: pictures a second.
        sound_late: seconds by which the sound begins late.
        fast: belongs to the subset that every test run walks.
    """

    name: str
    video: tuple[str, ...]
    audio: tuple[str, ...] = AAC
    after: tuple[str, ...] = ()
    copy: tuple[str, ...] | None = None
    before: tuple[str, ...] = ()
    fps: str = "25"
    sound_late: float = 0.0
    fast: bool = False


def cases() -> list[Case]:
    """The whole zoo."""
    return [*_containers(), *_starts(), *_sounds(), *_oddities()]


def _containers() -> list[Case]:
    found = []
    for gop, options in X264_GOPS.items():
        for suffix in ("mp4", "mkv", "ts", "flv", "mov"):
            fast = (gop, suffix) in {("open", "ts"), ("pyramid", "mp4"), ("refresh", "mkv"), ("onekey", "flv")}
            found.append(Case(f"h264_{gop}.{suffix}", (*X264, *options), fast=fast))
    for gop, options in X265_GOPS.items():
        for suffix in ("mp4", "mkv", "ts"):
            fast = (gop, suffix) in {("open", "mp4"), ("open", "ts")}
            found.append(Case(f"hevc_{gop}.{suffix}", (*X265, *options), fast=fast))
    for codec, video in (("mpeg4", MPEG4), ("mpeg2", MPEG2)):
        for gop, options in B_GOPS.items():
            for suffix in ("mp4", "mkv", "avi", "ts"):
                fast = (codec, gop, suffix) in {("mpeg4", "open", "avi"), ("mpeg2", "open", "ts")}
                sound = MP3 if suffix == "avi" else MP2 if codec == "mpeg2" and suffix == "ts" else AAC
                found.append(Case(f"{codec}_{gop}.{suffix}", (*video, *options), sound, fast=fast))
    for gop, options in B_GOPS.items():
        found.append(Case(f"mpeg1_{gop}.mpg", (*MPEG1, *options), MP2, fast=gop == "open"))
        found.append(Case(f"mpeg2_{gop}.vob", (*MPEG2, *options), AC3))
    for codec, video in (("vp8", VP8), ("vp9", VP9), ("av1", AV1)):
        for gop in ("closed", "onekey"):
            plain = tuple(option for option in GOPS[gop] if option not in ("-sc_threshold", "0"))
            fast = (codec, gop) in {("vp8", "closed"), ("vp9", "onekey")}
            found.append(Case(f"{codec}_{gop}.webm", (*video, *plain), OPUS, fast=fast))
            found.append(Case(f"{codec}_{gop}.mkv", (*video, *plain)))
    found.append(
        Case("vp9_altref.webm", (*VP9[:4], "-auto-alt-ref", "1", "-lag-in-frames", "16", "-cpu-used", "8"), OPUS)
    )
    found.append(Case("vp8_altref.webm", ("-c:v", "libvpx", "-b:v", "300k", "-auto-alt-ref", "1", "-lag-in-frames",
                                          "16", "-cpu-used", "8"), OPUS, fast=True))  # fmt: skip
    found.append(Case("av1_closed.mp4", (*AV1, "-g", "50")))
    return found


def _starts() -> list[Case]:
    found = []
    for suffix, video, sound in (
        ("mp4", (*X264, "-g", "50"), AAC), ("mkv", (*X264, "-g", "50"), AAC), ("ts", (*X264, "-g", "50"), AAC),
        ("mkv", (*X265, *X265_GOPS["open"]), AAC), ("flv", (*X264, "-g", "50"), AAC),
    ):  # fmt: skip
        codec = "hevc" if "libx265" in video else "h264"
        for start in ("1.5", "1000"):
            after = ("-output_ts_offset", start)
            found.append(Case(f"{codec}_from_{start}.{suffix}", video, sound, after, fast=suffix == "ts"))
    found.append(Case("h264_from_unix.mkv", (*X264, "-g", "50"), AAC, ("-output_ts_offset", "1700000000"), fast=True))
    return found


def _sounds() -> list[Case]:
    video = (*X264, "-g", "50")
    sounds = {"mp3": MP3, "opus": OPUS, "vorbis": VORBIS, "flac": FLAC, "pcm": PCM, "ac3": AC3, "none": ()}
    found = [Case(f"h264_{name}.mkv", video, sound, fast=name == "vorbis") for name, sound in sounds.items()]
    found += [Case(f"h264_{name}.mov", video, sound) for name, sound in (("pcm", PCM), ("ac3", AC3), ("mp3", MP3))]
    found += [Case(f"h264_{name}.ts", video, sound) for name, sound in (("mp2", MP2), ("ac3", AC3), ("mp3", MP3))]
    found += [
        Case("mpeg4_mp3.avi", MPEG4, MP3), Case("mpeg4_pcm.avi", MPEG4, PCM), Case("h264_closed.avi", video, MP3),
        Case("wmv2.wmv", ("-c:v", "wmv2", "-q:v", "4"), WMA, fast=True),
        Case("msmpeg4.avi", ("-c:v", "msmpeg4", "-q:v", "4"), MP3),
        Case("h263.3gp", ("-c:v", "h263", "-q:v", "4"), AAC), Case("flv1.flv", ("-c:v", "flv", "-q:v", "4"), MP3),
        Case("theora.ogv", ("-c:v", "libtheora", "-q:v", "7"), VORBIS), Case("mjpeg.mov", ("-c:v", "mjpeg"), PCM),
        Case("mjpeg.avi", ("-c:v", "mjpeg"), PCM), Case("ffv1.mkv", ("-c:v", "ffv1"), FLAC),
        Case("prores.mov", ("-c:v", "prores_ks"), PCM), Case("huffyuv.avi", ("-c:v", "huffyuv"), PCM),
        Case("mpeg2.mxf", (*MPEG2, "-g", "12", "-bf", "2"), PCM), Case("h264.nut", video, MP3),
        Case("png.mov", ("-c:v", "png"), PCM), Case("gif.gif", ("-c:v", "gif"), ()),
    ]  # fmt: skip
    return found


def _oddities() -> list[Case]:
    closed, opened = (*X264, "-g", "50"), (*X265, *X265_GOPS["open"])
    dropped = ("-vf", "select='not(between(mod(n,10),3,6))'", "-fps_mode", "vfr")
    found = [
        Case("fragmented.mp4", closed, AAC, ("-movflags", "+frag_keyframe+empty_moov+default_base_moof"), fast=True),
        Case("faststart.mp4", closed, AAC, ("-movflags", "+faststart")),
        Case("odd_rate.mp4", closed, fps="30000/1001"), Case("odd_rate.ts", closed, fps="24000/1001"),
        Case("ten_bit.mp4", ("-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p10le", "-g", "50")),
        Case("interlaced.ts", (*X264, "-g", "50", "-flags", "+ildct+ilme"), fast=True),
        Case("interlaced.mpg", (*MPEG2, "-g", "12", "-flags", "+ildct+ilme"), MP2),
        Case("slow_rate.mkv", closed, fps="5"), Case("fast_rate.mp4", closed, fps="50"),
        Case("cut_open.mkv", opened, copy=("-c", "copy"), before=("-ss", "3.3"), fast=True),
        Case("rotated.mp4", closed, copy=("-c", "copy"), before=("-display_rotation", "90")),
        Case("remuxed.ts", opened, copy=("-c", "copy")), Case("remuxed.mkv", (*MPEG2, "-bf", "2"), copy=("-c", "copy")),
    ]  # fmt: skip
    for suffix in ("mp4", "mkv", "ts"):
        found += [
            Case(f"variable.{suffix}", (*closed, *dropped), fast=suffix == "mkv"),
            Case(f"late_sound.{suffix}", closed, sound_late=0.7, fast=suffix == "mp4"),
            Case(f"cut.{suffix}", closed, copy=("-c", "copy"), before=("-ss", "2.7")),
            Case(f"sound_gap.{suffix}", closed, copy=("-c", "copy", "-bsf:a", "noise=drop='between(n,200,203)'"),
                 fast=suffix == "mkv"),
        ]  # fmt: skip
    return found


def numbered_pictures(count: int) -> bytes:
    """Raw RGB of ``count`` pictures that carry their number."""
    bits = (np.arange(count)[:, None] >> np.arange(BITS)) & 1
    row = np.zeros((count, WIDTH), np.uint8)
    row[:, : 8 * BITS] = np.repeat(bits.astype(np.uint8) * 255, 8, axis=1)
    return np.broadcast_to(row[:, None, :, None], (count, HEIGHT, WIDTH, 3)).tobytes()


def read_numbers(pixels: np.ndarray) -> np.ndarray:
    """Numbers of ``[pictures, height, width, 3]``; turned pictures are read along their columns."""
    green = pixels[..., 1] if pixels.shape[2] >= pixels.shape[1] else pixels[..., 1].transpose(0, 2, 1)[:, :, ::-1]
    line = green[:, green.shape[1] // 2, 4 : 8 * BITS : 8]
    return ((line > 128) * (1 << np.arange(BITS))).sum(axis=1)


def tones() -> bytes:
    """Raw float32 mono: 0.1 s of a tone at k + 0.2 s."""
    times = np.arange(SECONDS * RATE) / RATE
    within = times % 1 - 0.2
    pitch = 600 + 100 * (times.astype(int) % 10)
    sound = np.where((within >= 0) & (within < 0.1), 0.5 * np.sin(2 * np.pi * pitch * within), 0.0)
    return sound.astype("<f4").tobytes()


def onsets(samples: np.ndarray, rate: int) -> np.ndarray:
    """Seconds at which tones begin: the first loud sample after 50 ms of quiet."""
    loud = np.flatnonzero(np.abs(samples) > 0.1)
    return loud[np.diff(loud, prepend=-rate) > 0.05 * rate] / rate


def make(case: Case, folder: Path, ffmpeg: str) -> Path:
    """Make one file; its raw material is shared."""
    raw, sound = folder / f"{case.fps.replace('/', '_')}.rgb", folder / "tones.f32"
    if not raw.exists():
        raw.write_bytes(numbered_pictures(int(SECONDS * Fraction(case.fps))))
    if not sound.exists():
        sound.write_bytes(tones())
    path = folder / case.name
    first = folder / f"first_{case.name}" if case.copy else path
    pictures = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH}x{HEIGHT}", "-r", case.fps, "-i", str(raw)]
    late = ["-itsoffset", str(case.sound_late)] if case.sound_late else []
    heard = [*late, "-f", "f32le", "-ar", str(RATE), "-ac", "1", "-i", str(sound)] if case.audio else []
    _run(ffmpeg, *pictures, *heard, *case.video, *case.audio, "-shortest", *case.after, str(first))
    if case.copy is not None:
        _run(ffmpeg, *case.before, "-i", str(first), *case.copy, str(path))
        first.unlink()
    return path


def _run(ffmpeg: str, *arguments: str) -> None:
    command = [ffmpeg, "-nostdin", "-v", "error", "-y", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr[-800:]}")


@dataclass(frozen=True)
class Truth:
    """What decoding every packet in order gives.

    Attributes:
        times: ``[pictures]`` seconds from the container's zero, ascending.
        pictures: ``[pictures, height, width, 3]`` RGB, as stored in the file (not turned).
        onsets: seconds at which tones begin.
        end: seconds at which the last picture ends.
    """

    times: np.ndarray
    pictures: np.ndarray
    onsets: np.ndarray
    end: float


def truth_of(path: Path) -> Truth:
    """Read a file with PyAV alone, straight through."""
    with av.open(str(path)) as container:
        zero = Fraction(container.start_time or 0, 1_000_000)
        rate = container.streams.video[0].average_rate or 25
        frames = list(container.decode(video=0))
        convert = _converter(frames[0])
        times = sorted(float(frame.pts * frame.time_base - zero) for frame in frames)
        pictures = np.stack([convert(frame) for frame in frames])
        last = frames[-1].duration * frames[-1].time_base if frames[-1].duration else 1 / rate
    return Truth(np.array(times), pictures, _true_onsets(path, zero), times[-1] + float(last))


def _converter(first):
    graph = av.filter.Graph()
    graph.threads = 1
    source = graph.add_buffer(width=first.width, height=first.height, format=first.format, time_base=Fraction(1, 1000))
    graph.link_nodes(source, graph.add("format", "pix_fmts=rgb24"), graph.add("buffersink")).configure()

    def convert(frame):
        graph.push(frame)
        return graph.pull().to_ndarray()

    return convert


def _true_onsets(path: Path, zero: Fraction) -> np.ndarray:
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return np.zeros(0)
        sound = np.zeros((SECONDS + 3) * RATE, np.float32)
        resampler = av.AudioResampler(format="flt", layout="mono", rate=None)
        at = 0.0
        for frame in container.decode(audio=0):
            at = at if frame.pts is None else float(frame.pts * frame.time_base - zero)
            for part in resampler.resample(frame):
                samples = part.to_ndarray().ravel()
                rate = part.sample_rate
                start = round(at * rate)
                samples, start = samples[max(-start, 0) :], max(start, 0)
                sound[start : start + len(samples)] = samples[: len(sound) - start]
                at += part.samples / rate
        return onsets(sound, rate)


def mutant(data: bytes, seed: int) -> bytes:
    """A damaged file, the same for the same seed: flipped, zeroed, random, lost, repeated or cut bytes."""
    random = np.random.default_rng(seed)
    made = bytearray(data)
    for _ in range(int(random.integers(1, 4))):
        how = int(random.integers(0, 7))
        reach = len(made) if random.random() < 0.6 else min(len(made), 4096)  # headers lie at the front
        at = int(random.integers(0, max(reach, 1)))
        length = int(random.integers(1, max(len(made) // 8, 2)))
        if how == 0:
            for place in random.integers(0, reach, int(random.integers(1, 40))):
                made[place] ^= 1 << int(random.integers(0, 8))
        elif how == 1:
            made[at : at + length] = bytes(min(length, len(made) - at))
        elif how == 2:
            made[at : at + length] = random.bytes(min(length, len(made) - at))
        elif how == 3:
            del made[at : at + length]
        elif how == 4:
            made[at:at] = made[at : at + length]
        elif how == 5:
            made[at : at + 8] = bytes([255] * min(8, len(made) - at))
        else:
            del made[max(len(made) // 8, at) :]
    return bytes(made)
