"""Timestamps that jump: taken out of picture and sound by the same amount, as ffmpeg does."""

from fractions import Fraction

import numpy as np
import pytest

from extractors.views import AudioView
from pipeline.decode.clip import decode_clip
from pipeline.decode.clip_buffer import DecodeRequest, open_buffer
from pipeline.decode.clock import Clock
from pipeline.decode.frames import CanvasView

TICK = Fraction(1, 90_000)
SOUND = AudioView(48_000)
H264 = ("-c:v", "libx264", "-qp", "4", "-pix_fmt", "yuv420p", "-g", "25")


def shifts(*packets, jumps=True):
    clock = Clock(jumps=jumps)
    return [clock.shift(stream, dts, 3600, TICK) for stream, dts in packets]


def test_a_clock_that_runs_on_is_left_alone():
    assert shifts((0, 0), (1, 100), (0, 3600), (1, 3700), (0, 7200 + 5 * 90_000)) == [0] * 5


def test_a_jump_back_is_taken_out_of_both_streams():
    assert shifts((0, 900_000), (1, 900_000), (0, 0), (1, 0), (0, 3600)) == [0, 0, 903_600, 903_600, 903_600]


def test_a_jump_of_an_hour_is_taken_out_and_a_gap_of_seconds_is_not():
    hour = 3600 * 90_000
    assert shifts((0, 0), (1, 0), (1, hour), (0, hour)) == [0, 0, 3600 - hour, 3600 - hour]
    assert shifts((0, 0), (0, 9 * 90_000)) == [0, 0]


def test_a_stream_that_begins_after_a_jump_follows_the_other():
    assert shifts((0, 0), (1, 3600 * 90_000)) == [0, -3600 * 90_000]


def test_packets_without_a_time_and_formats_that_do_not_jump():
    assert shifts((0, 900_000), (0, 0), (0, None)) == [0, 903_600, 903_600]
    assert shifts((0, 900_000), (0, 0), jumps=False) == [0, 0]


@pytest.fixture(scope="module")
def halves(numbered, ffmpeg, media_dir):
    """Two transport streams of 5 s with pictures 0 to 124 and 125 to 249, the second one's clock set as asked."""

    def make(offset):
        whole = numbered("ten_seconds.mkv", 250, "25", *H264)
        tone = ("-f", "lavfi", "-i", "aevalsrc='if(lt(mod(t,1),0.1),0.5*sin(2*PI*800*t),0)':s=48000:d=10")
        paths = [media_dir / f"half_{part}_{offset}.ts" for part in range(2)]
        for part, path in enumerate(paths):
            at = ("-ss", str(5 * part), "-t", "5")
            moved = ("-output_ts_offset", str(offset)) if part else ()
            ffmpeg(*at, "-i", whole, *at, *tone, "-map", "0:v", "-map", "1:a", *H264, "-c:a", "aac", *moved, str(path))
        return [path.read_bytes() for path in paths]

    return make


@pytest.mark.parametrize("offset", [0, 3600])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_joined_transport_streams_play_on(halves, frame_numbers, dumped_numbers, tmp_path, offset, order):
    parts = halves(offset)
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(parts[number] for number in order))
    keep = CanvasView(8, short_side=16, size=96)
    for sampling in ("uniform", "published"):
        request = DecodeRequest("x", str(path), sampling=sampling, audio_views=(SOUND,), keep=(keep,))
        buffer = np.zeros(request.shape.nbytes, np.uint8)
        decoded = open_buffer(request, buffer, decode_clip(request, buffer))
        shown = frame_numbers(decoded.kept[keep].pixels[:, :16, :96])
        if sampling == "published":
            dump = dumped_numbers(str(path), "-r", "8")
            np.testing.assert_array_equal(shown, dump[np.round(np.linspace(0, len(dump) - 1, 80)).astype(int)])
            continue
        first = 125 * order[0]
        expected = first + np.arange(80) * 25 / 8
        assert (np.abs((shown - expected + 125) % 250 - 125) < 4).all()
        assert decoded.frames == {}
        loud = np.flatnonzero(np.abs(decoded.waveforms[SOUND].samples) > 0.1) / 48_000
        begins = loud[np.diff(loud, prepend=-1) > 0.05]
        assert len(begins) == 10
        np.testing.assert_allclose(np.diff(begins), 1.0, atol=0.05)
