"""One clip in, arrays and an honest report out, whatever the file is like."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from extractors.views import AudioView, FrameView
from pipeline.decode.clip import decode_clip
from pipeline.decode.clip_buffer import DecodeRequest, buffer_layout, open_buffer
from pipeline.decode.frames import CanvasView
from storage.schema import Status

CROP, SQUASH = FrameView(8, 32, "crop", 40), FrameView(1, 16, "squash")
SOUND = AudioView(16_000)
FULL = CanvasView(8)
H264 = ("-c:v", "libx264", "-qp", "4", "-pix_fmt", "yuv420p")


def decode(path, **options):
    options = {"clip_seconds": 4, "frame_views": (CROP, SQUASH), "audio_views": (SOUND,), **options}
    request = DecodeRequest("clip", str(path), **options)
    buffer = np.full(request.shape.nbytes, 0xAB, dtype=np.uint8)
    return open_buffer(request, buffer, decode_clip(request, buffer))


def test_a_good_clip(clip):
    decoded = decode(clip("four.mp4", 4), keep=(FULL,))
    report = decoded.report
    assert (report.status, report.reason) == (Status.OK, "")
    assert report.has_video
    assert report.has_audio
    assert report.decoder.startswith("PyAV ")
    assert report.source_seconds == pytest.approx(4, abs=0.05)
    assert len(report.fingerprint) == 64
    assert report.size_bytes > 0
    assert report.mtime_ns > 0
    assert decoded.frames[CROP].pixels.shape == (32, 32, 32, 3)
    assert decoded.frames[SQUASH].pixels.shape == (4, 16, 16, 3)
    assert decoded.frames[CROP].valid.all()
    assert decoded.waveforms[SOUND].samples.shape == (64_000,)
    assert decoded.kept[FULL].pixels.shape == (32, 456, 456, 3)
    assert set(decoded.kept[FULL].heights.tolist()) == {64}
    np.testing.assert_array_equal(decoded.frames[CROP].pixels[9], CROP.apply(decoded.kept[FULL].pixels[9, :64, :128]))
    np.testing.assert_array_equal(
        decoded.frames[SQUASH].pixels[2], SQUASH.apply(decoded.kept[FULL].pixels[16, :64, :128])
    )
    pickle.loads(pickle.dumps((decoded.request, report)))


@pytest.mark.parametrize("sampling", ["uniform", "published"])
def test_real_clip_is_the_same_every_time(shared_dir, sampling):
    path = shared_dir / "clips" / "BjCEufrlXm4.mp4"
    first, second = (decode(path, clip_seconds=10, sampling=sampling) for _ in range(2))
    assert first.report.status == Status.OK
    np.testing.assert_array_equal(first.frames[CROP].pixels, second.frames[CROP].pixels)
    np.testing.assert_array_equal(first.waveforms[SOUND].samples, second.waveforms[SOUND].samples)


@pytest.mark.parametrize(
    ("options", "has_video", "has_audio", "reason"),
    [(("-an",), True, False, "no audio stream"), (("-vn",), False, True, "no video stream")],
)
def test_one_modality_is_partial(clip, options, has_video, has_audio, reason):
    decoded = decode(clip(f"only{options[0]}.mp4", 2, *options))
    assert (decoded.report.status, decoded.report.reason) == (Status.PARTIAL, reason)
    assert (decoded.report.has_video, decoded.report.has_audio) == (has_video, has_audio)
    assert (bool(decoded.frames), bool(decoded.waveforms)) == (has_video, has_audio)
    without = decode(clip(f"only{options[0]}.mp4", 2, *options), frame_views=(), audio_views=())
    assert without.report.status == Status.PARTIAL
    assert without.report.decoder == ""


def test_bad_files_end_in_a_status_and_words(clip, tmp_path):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("hello\n" * 100)
    (tmp_path / "concat.mp4").write_text(f"ffconcat version 1.0\nfile '{clip('plain.mp4', 2)}'\n")
    (tmp_path / "live.mp4").write_text(f"#EXTM3U\n#EXTINF:2,\n{clip('plain.mp4', 2)}\n#EXT-X-ENDLIST\n")
    os.mkfifo(tmp_path / "fifo.mp4")
    (tmp_path / "loop.mp4").symlink_to(tmp_path / "loop.mp4")
    (tmp_path / "subtitles.srt").write_text("1\n00:00:00,000 --> 00:00:02,000\nhello\n")
    whole = Path(clip("whole_start.mp4", 4, "-movflags", "+faststart")).read_bytes()
    (tmp_path / "half.mp4").write_bytes(whole[: len(whole) // 2])
    expected = {
        "absent.mp4": (Status.MISSING, "no such file"),
        "empty.mp4": (Status.UNREADABLE, "empty"),
        "concat.mp4": (Status.UNREADABLE, "its format (concat) is not read"),
        "live.mp4": (Status.UNREADABLE, ""),
        "fifo.mp4": (Status.MISSING, "is a FIFO, not a media file"),
        "loop.mp4": (Status.MISSING, "too many levels of symbolic links"),
        "text.mp4": (Status.UNREADABLE, "moov atom not found"),
        "subtitles.srt": (Status.NO_STREAMS, "neither audio nor video"),
        "half.mp4": (Status.DECODE_ERROR, "the file is truncated"),
    }
    for name, (status, words) in expected.items():
        report = decode(tmp_path / name).report
        assert report.status == status, name
        assert words in report.reason
        assert "Error(" not in report.reason
        assert not report.has_video


def test_half_a_second_is_too_short(clip):
    report = decode(clip("blink.mp4", 0.5)).report
    assert report.status == Status.TOO_SHORT
    assert "lasts 0.5" in report.reason


def test_short_clips_are_padded_and_masked(clip):
    decoded = decode(clip("plain.mp4", 2))
    frames = decoded.frames[CROP]
    assert frames.valid.tolist() == [True] * 16 + [False] * 16
    assert (frames.pixels[16:] == frames.pixels[15]).all()
    assert not decoded.waveforms[SOUND].samples[33_000:].any()


def test_one_broken_modality_leaves_the_other(clip, tmp_path):
    data = bytearray(Path(clip("flac.mkv", 2, "-c:a", "flac")).read_bytes())
    start = data.index(b"fLaC")
    data[start : start + 42] = bytes(42)
    path = tmp_path / "broken_sound.mkv"
    path.write_bytes(data)
    decoded = decode(path)
    assert decoded.report.has_video
    if not decoded.report.has_audio:
        assert decoded.report.status == Status.PARTIAL
        assert decoded.report.reason.startswith("audio: ")


def test_eleven_minutes(clip, ffmpeg, media_dir):
    path = media_dir / "eleven.mp4"
    ffmpeg("-f", "lavfi", "-i", "color=blue:s=64x48:r=5:d=660", "-f", "lavfi", "-i", "sine=d=660:r=16000",
           "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", "-b:a", "24k", str(path))  # fmt: skip
    decoded = decode(path, clip_seconds=10)
    assert decoded.report.status == Status.OK
    assert decoded.report.reason == "source is 660.0 s; the first 10 s were used"
    late = decode(path, clip_seconds=10, start_seconds=600.0, end_seconds=610.0)
    assert late.report.status == Status.OK
    assert late.frames[CROP].valid.all()
    beyond = decode(path, clip_seconds=10, start_seconds=700.0, end_seconds=710.0).report
    assert (beyond.status, beyond.reason) == (
        Status.TOO_SHORT,
        "the clip starts at 700 s, but the file ends at 660.00 s",
    )


def test_spans_of_whole_videos_are_cut_and_cut_files_are_not(numbered, frame_numbers):
    path = numbered("span.mp4", 300, "25", *H264, "-g", "250")
    keep = CanvasView(5)
    options = {"frame_views": (), "audio_views": (), "keep": (keep,), "clip_seconds": 2}

    def shown(**span):
        return frame_numbers(decode(path, **options, **span).kept[keep].pixels[:, :16, :96])

    np.testing.assert_array_equal(shown(start_seconds=4.0, end_seconds=6.0), 100 + np.arange(10) * 5)
    np.testing.assert_array_equal(shown(start_seconds=100.0, end_seconds=111.0), np.arange(10) * 5)
    np.testing.assert_array_equal(shown(start_seconds=4.0), 100 + np.arange(10) * 5)
    published = shown(start_seconds=4.0, end_seconds=6.0, sampling="published")
    assert published[0] == 100
    assert 145 <= published[-1] <= 149


def test_published_uses_every_frame_of_a_cut_file(numbered, dumped_numbers, frame_numbers):
    path = numbered("slightly_long.mp4", 80, "25")
    keep = CanvasView(8)
    decoded = decode(path, frame_views=(), audio_views=(), keep=(keep,), clip_seconds=2, sampling="published")
    dump = dumped_numbers(path, "-r", "8")
    expected = dump[np.round(np.linspace(0, len(dump) - 1, 16)).astype(int)]
    np.testing.assert_array_equal(frame_numbers(decoded.kept[keep].pixels[:, :16, :96]), expected)
    assert expected[-1] >= 75


def test_two_kept_views_of_one_decode_and_one_of_them_on_the_clock(numbered, frame_numbers):
    path = numbered("two_views.mp4", 80, "25")
    clock = CanvasView(1, short_side=16, size=96, uniform=True)
    options = {"frame_views": (), "audio_views": (), "clip_seconds": 3, "sampling": "published"}
    decoded = decode(path, keep=(FULL, clock), **options)
    alone = decode(path, keep=(FULL,), **options)
    np.testing.assert_array_equal(decoded.kept[FULL].pixels, alone.kept[FULL].pixels)
    np.testing.assert_array_equal(frame_numbers(decoded.kept[clock].pixels[:, :16, :96]), [0, 25, 50])
    assert decoded.kept[clock].frames_per_second == 1


def test_flash_and_beep_meet(media_dir, ffmpeg):
    path = media_dir / "flash_beep.mp4"
    beep = "if(between(t,1.5,1.6),0.8*sin(2*PI*1000*t),0)"
    ffmpeg("-f", "lavfi", "-i", "color=black:s=96x64:r=24:d=4,drawbox=w=96:h=64:color=white:t=fill:enable='gte(t,2)'",
           "-itsoffset", "0.5", "-f", "lavfi", "-i", f"aevalsrc='{beep}':s=44100:d=3", "-map", "0:v", "-map", "1:a",
           *H264, "-c:a", "aac", str(path))  # fmt: skip
    decoded = decode(path)
    assert np.flatnonzero(decoded.frames[CROP].pixels.mean(axis=(1, 2, 3)) > 128)[0] == 16
    first = np.flatnonzero(np.abs(decoded.waveforms[SOUND].samples) > 0.1)[0]
    assert first / 16_000 == pytest.approx(2.0, abs=0.002)


@pytest.mark.parametrize("name", ["a b.mp4", "it's.mp4", "Ünïcode 雨.mp4", "-dash.mp4", "co:lon.mp4"])
def test_any_name(clip, name):
    report = decode(clip(name, 1.2), clip_seconds=1).report
    assert report.status == Status.OK
    assert report.decoder.startswith("PyAV ")


def test_fingerprint_is_of_bytes_and_span(clip):
    path = clip("plain.mp4", 2)
    one, same = decode(path).report, decode(path).report
    other = decode(path, end_seconds=2.0).report
    assert one.fingerprint == same.fingerprint
    assert one.fingerprint != other.fingerprint


def test_out_of_memory_is_a_status(clip, monkeypatch):
    def exhausted(*_, **__):
        raise MemoryError

    monkeypatch.setattr("pipeline.decode.clip.read_timeline", exhausted)
    assert decode(clip("plain.mp4", 2)).report.status == Status.OUT_OF_MEMORY


def test_layout_is_fixed_and_arrays_do_not_overlap():
    request = DecodeRequest(
        "x", "x", frame_views=(CROP, SQUASH), audio_views=(SOUND,), keep=(CanvasView(2), CanvasView(1))
    )
    layout = buffer_layout(request.shape)
    buffer = np.zeros(layout.nbytes, np.uint8)
    for number, entry in enumerate(layout.fields):
        layout.array(buffer, entry.view, entry.name)[...] = number % 2
    ends = [entry.offset for entry in layout.fields[1:]] + [layout.nbytes]
    for entry, end in zip(layout.fields, ends, strict=True):
        assert entry.offset + layout.array(buffer, entry.view, entry.name).nbytes <= end


def test_release_drops_the_arrays(clip):
    decoded = decode(clip("plain.mp4", 2))
    calls = []
    decoded.on_release = lambda: calls.append(1)
    decoded.release()
    decoded.release()
    assert calls == [1]
    assert not decoded.frames
