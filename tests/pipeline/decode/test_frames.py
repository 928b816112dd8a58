"""The right frame, upright, in the right colours, whatever the codec."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.decode.frames import CHUNK_BYTES, CanvasView, FrameReader
from pipeline.decode.media import MediaProblem
from pipeline.decode.timeline import read_timeline
from storage.schema import Status

BT709 = ("-vf", "scale=out_color_matrix=bt709:out_range=tv", "-colorspace", "bt709", "-color_range", "tv")
BT601 = ("-vf", "scale=out_color_matrix=bt601:out_range=tv", "-colorspace", "smpte170m", "-color_range", "tv")
FULL = ("-vf", "scale=out_color_matrix=bt709:out_range=pc", "-colorspace", "bt709", "-color_range", "pc")
H264 = ("-c:v", "libx264", "-qp", "6", "-pix_fmt", "yuv420p")
HEVC = ("-c:v", "libx265", "-x265-params", "log-level=none:qp=8", "-tag:v", "hvc1")
VP9 = ("-c:v", "libvpx-vp9", "-crf", "8", "-b:v", "0", "-deadline", "realtime", "-cpu-used", "8", "-pix_fmt", "yuv420p")
AV1 = ("-c:v", "libaom-av1", "-crf", "8", "-cpu-used", "8", "-usage", "realtime", "-pix_fmt", "yuv420p")
CODECS = {
    "h264_601.mp4": (*BT601, *H264),
    "h264_709.mp4": (*BT709, *H264),
    "h264_untagged.mp4": H264,
    "h264_full.mp4": (*FULL, *H264),
    "h264_10bit.mp4": (*BT709, *H264[:-1], "yuv420p10le"),
    "h264_444.mp4": (*BT709, *H264[:-1], "yuv444p"),
    "hevc.mp4": (*BT709, *HEVC, "-pix_fmt", "yuv420p"),
    "hevc_10bit.mp4": (*BT709, *HEVC, "-pix_fmt", "yuv420p10le"),
    "vp9.webm": (*BT709, *VP9),
    "vp9_601.webm": (*BT601, *VP9),
    "av1.mp4": (*BT709, *AV1),
}
TURNS = {
    "turn90": ("-display_rotation", "90"),
    "turn180": ("-display_rotation", "180"),
    "turn270": ("-display_rotation", "270"),
    "mirror": ("-display_hflip",),
    "turn90_mirror": ("-display_rotation", "90", "-display_hflip"),
}


def assert_same_bars(image, expected, *, levels=6):
    """Compare the middles of bars; chroma subsampling blurs the edges."""
    assert image.shape == expected.shape
    rows, columns = (slice(8, None, 16), slice(8, None, 16))
    difference = np.abs(image[rows, columns].astype(int) - expected[rows, columns])
    assert difference.max() <= levels


@pytest.mark.parametrize("name", sorted(CODECS))
def test_colours_are_the_sources_with_both_decoders(bars, bars_rgb, name):
    path = bars(name, *CODECS[name])
    track = read_timeline(path).video
    reader = FrameReader(path, track)
    assert_same_bars(dict(reader.read([0, 11]))[11], bars_rgb)
    assert reader.decoder.startswith("decord ")
    second = FrameReader(path, track)
    assert_same_bars(dict(second._read_with_pyav([11], total=1))[11], bars_rgb)


@pytest.mark.parametrize("name", sorted(TURNS))
def test_turned_clips_come_out_upright(bars, ffmpeg, media_dir, name):
    # decord refuses frames that are 96 pixels wide after turning.
    narrow = ("-vf", "crop=128:80:0:0,scale=out_color_matrix=bt709:out_range=tv", *BT709[2:], *H264)
    path = str(media_dir / f"{name}.mp4")
    ffmpeg(*TURNS[name], "-i", bars("h264_narrow.mp4", *narrow), "-c", "copy", path)
    reader = FrameReader(path, read_timeline(path).video)
    image = dict(reader.read([5]))[5]
    raw = ffmpeg("-i", path, "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    assert image.size == len(raw)
    assert_same_bars(image, np.frombuffer(raw, np.uint8).reshape(image.shape))
    assert reader.decoder.startswith("PyAV " if "mirror" in name else "decord ")


@pytest.mark.parametrize("options", [(*H264[:-1], "yuv444p"), VP9])
def test_odd_sizes(clip, ffmpeg, options):
    suffix = "webm" if options is VP9 else "mp4"
    audio = ("-c:a", "libopus") if options is VP9 else ()
    path = clip(f"odd.{suffix}", 1.2, *options, *audio, "-vf", "scale=319:241", size="320x240")
    image = dict(FrameReader(path, read_timeline(path).video).read([7]))[7]
    raw = ffmpeg("-i", path, "-vf", "select=eq(n\\,7)", "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    assert image.shape == (241, 319, 3)
    assert np.abs(np.frombuffer(raw, np.uint8).reshape(image.shape).astype(int) - image).mean() < 1


def test_indices_count_shown_frames(numbered, frame_numbers, ffmpeg, media_dir):
    source = numbered("gop.mp4", 150, "25", *H264, "-g", "75")
    wanted = [0, 1, 40, 74, 75, 76, 149]
    read = dict(FrameReader(source, read_timeline(source).video).read(wanted))
    assert frame_numbers(np.stack([read[i] for i in wanted])).tolist() == wanted
    path = str(media_dir / "gop_cut.mp4")
    ffmpeg("-ss", "1.2", "-i", source, "-c", "copy", path)
    read = dict(FrameReader(path, read_timeline(path).video).read([0, 10, 60]))
    assert frame_numbers(np.stack([read[i] for i in (0, 10, 60)])).tolist() == [30, 40, 90]


def test_late_frames_are_sought_not_decoded_from_the_start(numbered, frame_numbers):
    path = numbered("long.mp4", 1000, "25", *H264, "-g", "50")
    track = read_timeline(path).video
    read = dict(FrameReader(path, track)._read_with_pyav([777, 990], total=2))
    assert frame_numbers(np.stack([read[777], read[990]])).tolist() == [777, 990]


def test_several_video_streams_give_the_chosen_one(clip, ffmpeg, media_dir):
    path = str(media_dir / "pair.mkv")
    ffmpeg("-i", clip("plain.mp4", 2), "-i", clip("large.mp4", 2, size="160x120"), "-map", "0:v", "-map", "1:v",
           "-c", "copy", "-disposition:v", "default", path)  # fmt: skip
    reader = FrameReader(path, read_timeline(path).video)
    assert dict(reader.read([3]))[3].shape == (120, 160, 3)


def damaged(source, path, share):
    """Overwrite part of the media data in the middle."""
    data = bytearray(Path(source).read_bytes())
    start = len(data) // 2
    length = int(len(data) * share)
    data[start : start + length] = np.random.default_rng(0).integers(0, 256, length, dtype=np.uint8).tobytes()
    path.write_bytes(data)
    return str(path)


def test_damage_is_an_error_in_the_codecs_words_and_not_noise(clip, tmp_path, capfd):
    source = clip("noisy.mp4", 4, "-movflags", "+faststart", "-g", "25", "-vf", "noise=alls=40:allf=t")
    path = damaged(source, tmp_path / "damaged.mp4", 0.4)
    reader = FrameReader(path, read_timeline(path).video)
    with pytest.raises(MediaProblem, match=r"of 100 frames cannot be decoded: \w+") as caught:
        list(reader.read(range(100)))
    assert caught.value.status == Status.DECODE_ERROR
    assert capfd.readouterr().err == ""


def test_memory_is_bounded_for_large_frames(clip, monkeypatch):
    path = clip("plain.mp4", 2)
    monkeypatch.setattr("pipeline.decode.frames.CHUNK_BYTES", 128 * 64 * 3 * 2)
    assert CHUNK_BYTES >= 32 << 20
    assert [index for index, _ in FrameReader(path, read_timeline(path).video).read(range(0, 50, 7))] == [
        *range(0, 50, 7)
    ]


def test_canvas_shrinks_only_and_pads():
    view = CanvasView(8)
    canvas, height, width = view.apply(np.full((240, 320, 3), 7, np.uint8))
    assert (height, width) == (240, 320)
    assert canvas.shape == (456, 456, 3)
    assert (canvas[:240, :320] == 7).all()
    assert canvas.sum() == 7 * 240 * 320 * 3
    assert view.apply(np.zeros((720, 1280, 3), np.uint8))[1:] == (256, 455)
    assert view.apply(np.zeros((300, 1200, 3), np.uint8))[1:] == (114, 456)
    assert view.frames(10) == 80
