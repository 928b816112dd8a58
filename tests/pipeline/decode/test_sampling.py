"""Which source frames are picked: by arithmetic, and against ffmpeg itself."""

from fractions import Fraction

import numpy as np
import pytest

from pipeline.decode.sampling import constant_rate_frames, published_grid, uniform_grid
from pipeline.decode.timeline import read_timeline

VP9 = ("-c:v", "libvpx-vp9", "-crf", "8", "-b:v", "0", "-deadline", "realtime", "-cpu-used", "8", "-pix_fmt", "yuv420p")
H264 = ("-c:v", "libx264", "-qp", "4", "-pix_fmt", "yuv420p")
REAL = ("BjCEufrlXm4.mp4", "v_GGSY1Qvo990.mp4", "v_ZNVhz7ctTq0.mp4")


def eight_a_second(track):
    return constant_rate_frames(track.dump_pts, track.durations, time_base=track.time_base, frames_per_second=8)


def test_uniform_takes_the_frame_on_screen():
    pts = np.array([0.0, 0.1, 0.5, 0.51, 1.2])
    grid = uniform_grid(pts, frames_per_second=4, frames=8, end_seconds=1.3)
    assert grid.index.tolist() == [0, 1, 2, 3, 3, 4, 4, 4]
    assert grid.valid.tolist() == [True] * 6 + [False] * 2


def test_uniform_before_the_first_frame_shows_the_first():
    grid = uniform_grid(np.array([0.3, 0.6]), frames_per_second=4, frames=4, end_seconds=0.9)
    assert grid.index.tolist() == [0, 0, 0, 1]
    assert grid.valid.all()


def test_uniform_counts_from_the_start_of_the_span():
    grid = uniform_grid(np.arange(100) / 10, frames_per_second=2, frames=4, start_seconds=3.05, end_seconds=4.5)
    assert grid.index.tolist() == [30, 35, 40, 40]
    assert grid.valid.tolist() == [True, True, True, False]


def test_uniform_forgives_rounded_timestamps():
    pts = np.round(np.arange(30) / 30 * 1e6) / 1e6 + 4e-7
    assert uniform_grid(pts, frames_per_second=10, frames=10, end_seconds=1).index.tolist() == list(range(0, 30, 3))


def test_nothing_to_choose_from():
    with pytest.raises(ValueError, match="no source frames"):
        uniform_grid(np.array([]), frames_per_second=8, frames=8, end_seconds=1)
    none = np.array([], dtype=np.int64)
    with pytest.raises(ValueError, match="no source frames"):
        published_grid(none, none, time_base=Fraction(1, 25), frames=8)


def test_ten_seconds_give_82_jpgs_first_and_last_included():
    pts = np.arange(300, dtype=np.int64)
    dump = constant_rate_frames(pts, np.ones_like(pts), time_base=Fraction(1, 30), frames_per_second=8)
    assert len(dump) == 82
    grid = published_grid(pts, np.ones_like(pts), time_base=Fraction(1, 30), frames=80)
    assert (grid.index[0], grid.index[-1]) == (0, 299)
    assert len(grid.index) == 80
    assert grid.valid.all()


@pytest.mark.parametrize("fps", ["15", "24000/1001", "25", "30000/1001", "60", "3", "8"])
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_published_picks_what_ffmpeg_picks(numbered, dumped_numbers, fps, suffix):
    path = numbered(f"rate_{fps.replace('/', '_')}.{suffix}", int(10 * Fraction(fps)) + 1, fps)
    track = read_timeline(path).video
    source = dumped_numbers(path, "-fps_mode", "passthrough")
    assert len(source) == len(track.pts)
    np.testing.assert_array_equal(source[eight_a_second(track)], dumped_numbers(path, "-r", "8"))


VARIABLE = {
    "half.mp4": ("-vf", "select='lt(random(0),0.5)'", "-fps_mode", "vfr", *H264),
    "sparse.mkv": ("-vf", "select='lt(random(1),0.05)'", "-fps_mode", "vfr", *H264),
    "sparse.mp4": ("-vf", "select='lt(random(2),0.05)'", "-fps_mode", "vfr", *H264),
    "third.webm": ("-vf", "select='lt(random(3),0.3)'", "-fps_mode", "vfr", *VP9),
    "third.ts": ("-vf", "select='lt(random(4),0.3)'", "-fps_mode", "vfr", *H264),
    "wave.mp4": ("-vf", "setpts='(N+2*sin(N/3))/30/TB+0.7/TB'", "-fps_mode", "passthrough", *H264),
    "slowing.mkv": ("-vf", "setpts='(N*N/200+0.3*N)/20/TB'", "-fps_mode", "passthrough", *H264),
    "gap.mp4": ("-vf", "setpts='if(lt(N,50),N,N+90)/30/TB'", "-fps_mode", "passthrough", *H264),
}


@pytest.mark.parametrize("name", sorted(VARIABLE))
def test_published_picks_what_ffmpeg_picks_at_variable_rates(numbered, dumped_numbers, name):
    path = numbered(f"variable_{name}", 250, "30", *VARIABLE[name])
    track = read_timeline(path).video
    source = dumped_numbers(path, "-fps_mode", "passthrough")
    assert len(source) == len(track.pts)
    np.testing.assert_array_equal(source[eight_a_second(track)], dumped_numbers(path, "-r", "8"))


def test_uniform_at_variable_rate_is_right_to_the_frame(numbered, frame_numbers, read_pictures):
    path = numbered("variable_half.mp4", 250, "30", *VARIABLE["half.mp4"])
    track = read_timeline(path).video
    grid = uniform_grid(track.pts_seconds, frames_per_second=8, frames=64, end_seconds=track.end_seconds)
    images = read_pictures(path, sorted(set(grid.index.tolist())))
    shown = frame_numbers(np.stack([images[index] for index in grid.index.tolist()]))
    # Frame n of the source was made for n/30 s; what is on screen at t is the last that was kept up to t.
    source = np.round(track.pts_seconds * 30).astype(int)
    zero = int(frame_numbers(np.stack([images[int(grid.index[0])]]))[0]) - source[grid.index[0]]
    expected = [source[source <= k / 8 * 30 + 1e-3].max(initial=source[0]) + zero for k in range(64)]
    np.testing.assert_array_equal(shown[grid.valid], np.array(expected)[grid.valid])


@pytest.mark.parametrize("name", REAL)
def test_published_picks_the_pixels_of_ffmpegs_dump_of_a_real_clip(shared_dir, ffmpeg, read_pictures, name):
    path = str(shared_dir / "clips" / name)
    track = read_timeline(path).video
    picked = eight_a_second(track)
    images = read_pictures(path, sorted(set(picked.tolist())))
    height, width = images[0].shape[:2]
    raw = ffmpeg("-i", path, "-r", "8", "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    dump = np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)
    assert len(dump) == len(picked)
    assert name != REAL[0] or len(dump) == 82
    worst = max(np.abs(images[i].astype(int) - d).mean() for i, d in zip(picked.tolist(), dump, strict=True))
    assert worst < 0.5
