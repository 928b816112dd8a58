"""Streams, times and truncation, from packets alone."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.decode.media import MediaProblem, codec_words, own_words, rescale, shorten
from pipeline.decode.timeline import read_timeline
from storage.schema import Status


def test_times_of_a_constant_rate_clip(clip):
    timeline = read_timeline(clip("plain.mp4", 2))
    np.testing.assert_allclose(timeline.video.pts_seconds, np.arange(50) / 25, atol=1e-6)
    assert timeline.video.end_seconds == pytest.approx(2.0)
    assert timeline.duration_seconds == pytest.approx(2.0, abs=0.05)
    assert not timeline.video.problem
    assert not timeline.audio.problem


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_zero_is_the_containers_start(clip, ffmpeg, media_dir, suffix):
    path = media_dir / f"late_video.{suffix}"
    ffmpeg("-i", clip("plain.mp4", 2), "-itsoffset", "0.4", "-i", clip("plain.mp4", 2), "-map", "1:v", "-map", "0:a",
           "-c", "copy", str(path))  # fmt: skip
    timeline = read_timeline(str(path))
    assert timeline.video.pts_seconds[0] - timeline.audio.start_seconds == pytest.approx(0.4, abs=0.03)
    assert min(timeline.video.pts_seconds[0], timeline.audio.start_seconds) == pytest.approx(0.0, abs=0.03)


def test_a_file_is_scanned_once_while_it_stays_as_it_is(clip, media_dir):
    path = media_dir / "rewritten.mp4"
    path.write_bytes(Path(clip("plain.mp4", 2)).read_bytes())
    first = read_timeline(str(path))
    assert read_timeline(str(path)) is first
    assert read_timeline(str(path), max_pixels=9_000) is not first
    path.write_bytes(Path(clip("whole.mp4", 4, "-movflags", "+faststart")).read_bytes())
    assert read_timeline(str(path)).duration_seconds == pytest.approx(4.0, abs=0.05)
    path.unlink()
    with pytest.raises(MediaProblem, match="no such file"):
        read_timeline(str(path))


def test_frames_hidden_by_an_edit_list_do_not_count(clip, ffmpeg, media_dir):
    source = clip("long_gop.mp4", 4, "-g", "100")
    path = media_dir / "cut.mp4"
    ffmpeg("-ss", "1.5", "-i", source, "-c", "copy", str(path))
    track = read_timeline(str(path)).video
    assert track.packets.hidden.any()
    assert track.pts_seconds[0] == pytest.approx(0.0, abs=0.05)
    assert track.end_seconds == pytest.approx(2.5, abs=0.1)


def test_largest_default_stream_is_chosen_and_cover_art_is_no_video(clip, ffmpeg, media_dir):
    small, large = clip("plain.mp4", 2), clip("large.mp4", 2, size="160x120")
    both = media_dir / "two_videos.mkv"
    ffmpeg("-i", small, "-i", large, "-map", "0:v", "-map", "1:v", "-map", "0:a", "-map", "1:a", "-c", "copy",
           "-disposition:v", "default", "-disposition:a:1", "0", str(both))  # fmt: skip
    timeline = read_timeline(str(both))
    assert timeline.video.stream_index == 1
    assert not timeline.video.only_video
    assert timeline.audio.stream_index == 2
    cover = media_dir / "cover.mp4"
    ffmpeg("-f", "lavfi", "-i", "sine=d=2", "-f", "lavfi", "-i", "color=red:s=64x64:d=0.04",
           "-map", "0", "-map", "1", "-c:a", "aac", "-c:v", "mjpeg", "-frames:v", "1",
           "-disposition:v:0", "attached_pic", str(cover))  # fmt: skip
    assert read_timeline(str(cover)).video is None


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_half_a_file_is_truncated(clip, media_dir, suffix):
    whole = clip(f"whole.{suffix}", 4, *(("-movflags", "+faststart") if suffix == "mp4" else ()))
    half = media_dir / f"half.{suffix}"
    data = Path(whole).read_bytes()
    half.write_bytes(data[: len(data) // 2])
    timeline = read_timeline(str(half))
    assert "the file is truncated: its video ends at" in timeline.video.problem
    assert timeline.video.end_seconds < 3


@pytest.mark.parametrize(
    ("name", "content", "status", "reason"),
    [
        ("empty.mp4", b"", Status.UNREADABLE, "empty"),
        ("text.mp4", b"this is no video\n" * 40, Status.UNREADABLE, "moov atom not found|Invalid data"),
        ("absent.mp4", None, Status.MISSING, "no such file"),
    ],
)
def test_bad_files_are_named_in_the_demuxers_words(tmp_path, name, content, status, reason):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(MediaProblem, match=reason) as caught:
        read_timeline(str(tmp_path / name))
    assert caught.value.status == status


def test_missing_moov_atom_is_said(clip, media_dir):
    half = media_dir / "no_moov.mp4"
    data = Path(clip("plain.mp4", 2)).read_bytes()
    half.write_bytes(data[: len(data) // 2])
    with pytest.raises(MediaProblem, match="moov atom not found"):
        read_timeline(str(half))


def test_a_container_without_sound_and_picture(tmp_path):
    path = tmp_path / "subtitles.srt"
    path.write_text("1\n00:00:00,000 --> 00:00:02,000\nhello\n")
    with pytest.raises(MediaProblem, match="neither audio nor video") as caught:
        read_timeline(str(path))
    assert caught.value.status == Status.NO_STREAMS


def test_rescale_rounds_half_away_from_zero():
    from fractions import Fraction

    assert rescale(1, Fraction(1, 2), Fraction(1)) == 1
    assert rescale(-1, Fraction(1, 2), Fraction(1)) == -1
    assert rescale(1, Fraction(1, 3), Fraction(1)) == 0


def test_words_are_short_and_on_one_line():
    assert shorten("a\n  b") == "a b"
    assert len(shorten("x" * 1000)) == 300


def test_folder_is_no_file(tmp_path):
    with pytest.raises(MediaProblem, match="is a folder"):
        read_timeline(str(tmp_path))


def test_own_words_put_the_codec_first():
    import av

    problem = av.error.InvalidDataError(1094995529, "Invalid data found when processing input")
    assert own_words(problem, [(16, "mov", "moov atom not found\n")]).startswith("moov atom not found (")
    with codec_words() as words:
        assert list(words) == []
