"""The right frame, upright, in the right colours, whatever the codec."""

from pathlib import Path

import numpy as np
import pytest

from extractors.views import FrameView
from pipeline.decode.clip import decode_clip
from pipeline.decode.clip_buffer import DecodeRequest
from pipeline.decode.frames import CanvasView
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
def test_colours_are_right_and_both_decoders_agree_with_ffmpeg_to_the_bit(bars, bars_rgb, ffmpeg, read_pictures, name):
    path = bars(name, *CODECS[name])
    image = read_pictures(path, [0, 11])[11]
    assert_same_bars(image, bars_rgb)
    raw = ffmpeg("-i", path, "-frames:v", "12", "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    np.testing.assert_array_equal(np.frombuffer(raw, np.uint8).reshape(-1, *image.shape)[11], image)
    np.testing.assert_array_equal(read_pictures(path, [0, 11], decoder="decord")[11], image)


@pytest.mark.parametrize("name", sorted(TURNS))
def test_turned_clips_come_out_upright(bars, ffmpeg, media_dir, read_pictures, name):
    # decord refuses frames that are 96 pixels wide after turning.
    narrow = ("-vf", "crop=128:80:0:0,scale=out_color_matrix=bt709:out_range=tv", *BT709[2:], *H264)
    path = str(media_dir / f"{name}.mp4")
    ffmpeg(*TURNS[name], "-i", bars("h264_narrow.mp4", *narrow), "-c", "copy", path)
    image = read_pictures(path, [5])[5]
    raw = ffmpeg("-i", path, "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    assert image.size == len(raw)
    assert_same_bars(image, np.frombuffer(raw, np.uint8).reshape(image.shape))
    if "mirror" not in name:
        np.testing.assert_array_equal(read_pictures(path, [5], decoder="decord")[5], image)


@pytest.mark.parametrize("options", [(*H264[:-1], "yuv444p"), VP9])
def test_odd_sizes(clip, ffmpeg, read_pictures, options):
    suffix = "webm" if options is VP9 else "mp4"
    audio = ("-c:a", "libopus") if options is VP9 else ()
    path = clip(f"odd.{suffix}", 1.2, *options, *audio, "-vf", "scale=319:241", size="320x240")
    image = read_pictures(path, [7])[7]
    raw = ffmpeg("-i", path, "-vf", "select=eq(n\\,7)", "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    assert image.shape == (241, 319, 3)
    assert np.abs(np.frombuffer(raw, np.uint8).reshape(image.shape).astype(int) - image).mean() < 1


def test_indices_count_shown_frames(numbered, frame_numbers, ffmpeg, media_dir, read_pictures):
    source = numbered("gop.mp4", 150, "25", *H264, "-g", "75")
    wanted = [0, 1, 40, 74, 75, 76, 149]
    read = read_pictures(source, wanted)
    assert frame_numbers(np.stack([read[i] for i in wanted])).tolist() == wanted
    path = str(media_dir / "gop_cut.mp4")
    ffmpeg("-ss", "1.2", "-i", source, "-c", "copy", path)
    read = read_pictures(path, [0, 10, 60])
    assert frame_numbers(np.stack([read[i] for i in (0, 10, 60)])).tolist() == [30, 40, 90]


def test_late_frames_are_sought_not_decoded_from_the_start(numbered, frame_numbers, read_pictures, monkeypatch):
    from pipeline.decode.pictures import PictureReader

    path = numbered("long.mp4", 1000, "25", *H264, "-g", "50")
    taken, take = [], PictureReader.take
    monkeypatch.setattr(PictureReader, "take", lambda self, packet: (taken.append(packet), take(self, packet))[1])
    read = read_pictures(path, [777, 990], seek_seconds=777 / 25)
    assert frame_numbers(np.stack([read[777], read[990]])).tolist() == [777, 990]
    assert len(taken) < 300


def test_several_video_streams_give_the_chosen_one(clip, ffmpeg, media_dir, read_pictures):
    path = str(media_dir / "pair.mkv")
    ffmpeg("-i", clip("plain.mp4", 2), "-i", clip("large.mp4", 2, size="160x120"), "-map", "0:v", "-map", "1:v",
           "-c", "copy", "-disposition:v", "default", path)  # fmt: skip
    assert read_pictures(path, [3])[3].shape == (120, 160, 3)


def damaged(source, path, share):
    """Overwrite part of the media data in the middle."""
    data = bytearray(Path(source).read_bytes())
    start = len(data) // 2
    length = int(len(data) * share)
    data[start : start + length] = np.random.default_rng(0).integers(0, 256, length, dtype=np.uint8).tobytes()
    path.write_bytes(data)
    return str(path)


def decode(path, **options):
    view = FrameView(8, 32, "squash")
    request = DecodeRequest("clip", str(path), clip_seconds=4, frame_views=(view,), **options)
    return decode_clip(request, np.zeros(request.shape.nbytes, np.uint8))


@pytest.mark.parametrize("share", [0.4, 0.03])
def test_damage_is_told_in_the_codecs_words(clip, tmp_path, capfd, share):
    source = clip("noisy.mp4", 4, "-movflags", "+faststart", "-g", "25", "-vf", "noise=alls=40:allf=t")
    report = decode(damaged(source, tmp_path / "damaged.mp4", share))
    if share > 0.1:
        assert "of 100 frames cannot be decoded: " in report.reason
        assert not report.has_video
    else:
        assert report.status == Status.OK
        assert " damaged" in report.reason
        assert report.has_video
    assert "0x" not in report.reason
    assert capfd.readouterr().err == ""


def test_too_large_pictures_are_refused_before_they_are_decoded(clip):
    path = clip("plain.mp4", 2)
    report = decode(path, max_pixels=128 * 64 - 1)
    assert report.status == Status.PARTIAL
    assert report.reason == "its pictures have 128 x 64 pixels; at most 8191 are decoded (see --memory)"
    assert decode(path, max_pixels=128 * 64).status == Status.OK


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


def test_the_bound_on_pictures_holds_each_time_the_file_is_opened(clip, monkeypatch):
    from pipeline.decode import reading, timeline

    bounds = []
    for module in (reading, timeline):
        plain = module.open_media

        def noted(path, *, plain=plain, **options):
            bounds.append(options["max_pixels"])
            return plain(path, **options)

        monkeypatch.setattr(module, "open_media", noted)
    decode(clip("plain.mp4", 2), max_pixels=10_000)
    assert bounds == [10_000, 10_000]
