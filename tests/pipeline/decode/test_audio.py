"""Sound on the clip's clock, at every rate, in bounded memory."""

import os
from pathlib import Path

import numpy as np
import pytest

from extractors.views import AudioView
from pipeline.decode.media import MediaProblem
from storage.schema import Status

LOW, HIGH = AudioView(16_000), AudioView(48_000)


@pytest.fixture
def read(read_sound):
    return lambda path, *views, **options: read_sound(path, views or (LOW, HIGH), **options)


def onset(waveform):
    return np.flatnonzero(np.abs(waveform.samples) > 0.1)[0] / waveform.sample_rate_hz


@pytest.fixture(scope="module")
def late_beep(media_dir, ffmpeg):
    """A beep from 2.0 to 2.1 s in a stream that starts at 0.5 s."""

    def make(suffix, codec, video=("-c:v", "libx264")):
        path = media_dir / f"late_beep.{suffix}"
        beep = "if(between(t,1.5,1.6),0.8*sin(2*PI*1000*t),0)"
        ffmpeg("-f", "lavfi", "-i", "color=black:s=96x64:r=25:d=5", "-itsoffset", "0.5", "-f", "lavfi", "-i",
               f"aevalsrc='{beep}|{beep}':s=44100:d=4", "-map", "0:v", "-map", "1:a", *video, "-c:a", codec,
               str(path))  # fmt: skip
        return str(path)

    return make


@pytest.mark.parametrize(("suffix", "codec"), [("mp4", "aac"), ("mkv", "aac"), ("ts", "aac"), ("mov", "pcm_s16le")])
def test_late_sound_is_padded_in_front(late_beep, suffix, codec, read):
    path = late_beep(suffix, codec)
    for waveform in read(path).waveforms.values():
        assert onset(waveform) == pytest.approx(2.0, abs=0.002)
        assert not waveform.samples[: int(0.4 * waveform.sample_rate_hz)].any()
        assert waveform.valid_samples == waveform.sample_rate_hz * 4
    for waveform in read(path, start_seconds=1.25, span_seconds=2.0).waveforms.values():
        assert onset(waveform) == pytest.approx(0.75, abs=0.002)
        assert waveform.valid_samples == pytest.approx(2 * waveform.sample_rate_hz, rel=0.01)


def test_short_sound_is_padded_behind(clip, read):
    for waveform in read(clip("plain.mp4", 2)).waveforms.values():
        assert len(waveform.samples) == 4 * waveform.sample_rate_hz
        assert waveform.valid_samples == pytest.approx(2 * waveform.sample_rate_hz, rel=0.03)
        assert not waveform.samples[waveform.valid_samples :].any()
        assert np.abs(waveform.samples).max() == pytest.approx(0.125, abs=0.02)


def test_stereo_to_mono_is_the_mean(media_dir, ffmpeg, read):
    path = str(media_dir / "stereo.wav")
    ffmpeg("-f", "lavfi", "-i", "aevalsrc='0.6|0.2':s=48000:d=2", path)
    assert read(path, HIGH).waveforms[HIGH].samples[48000] == pytest.approx(0.4, abs=1e-3)
    path = str(media_dir / "surround.wav")
    ffmpeg("-f", "lavfi", "-i", "aevalsrc='0.9|0.9|0.9|0.9|0.9|0.9':c=5.1:s=48000:d=2", path)
    assert np.abs(read(path, HIGH).waveforms[HIGH].samples).max() <= 1


@pytest.mark.parametrize("options", [("-c:a", "libmp3lame"), ("-c:a", "aac", "-ar", "8000", "-ac", "1")])
def test_mp3_and_mono_8_khz(clip, options, read):
    path = clip(f"{options[1]}.mp4", 2, *options)
    for waveform in read(path).waveforms.values():
        spectrum = np.abs(np.fft.rfft(waveform.samples[: 2 * waveform.sample_rate_hz]))
        assert np.argmax(spectrum) / 2 == pytest.approx(440, abs=2)
        assert waveform.valid_samples > 1.9 * waveform.sample_rate_hz


def test_published_repeats_moviepys_recipe(clip, ffmpeg, read):
    path = clip("loud.mp4", 3, "-af", "volume=14,aformat=channel_layouts=stereo")
    got = read(path, sampling="published", clip_seconds=2)
    raw = ffmpeg("-i", path, "-vn", "-f", "s16le", "-ar", "44100", "-ac", "2", "-")
    stereo = np.frombuffer(raw, "<i2").reshape(-1, 2) / 32768
    nearest = np.round(44100 * (1.0 / 16000 * np.arange(32000))).astype(int)
    expected = (32768 * np.clip(stereo[nearest], -0.99, 0.99)).astype(np.int16) / 32768
    np.testing.assert_array_equal(got.waveforms[LOW].samples, expected.mean(axis=1).astype(np.float32))
    assert np.abs(stereo).max() > 0.99
    assert got.waveforms[HIGH].samples.shape == (96000,)


@pytest.mark.parametrize(
    "name", ["a b.mp4", "it's.mp4", 'quo"te.mp4', "-dash.mp4", "co:lon.mp4", "Ünïcode 雨.mp4", "100%.mp4"]
)
def test_any_name(clip, name, read):
    assert read(clip(name, 1.2)).waveforms[LOW].valid_samples > 16_000


def test_the_chosen_stream_is_read(clip, ffmpeg, media_dir, read):
    path = str(media_dir / "two_sounds.mkv")
    ffmpeg("-i", clip("plain.mp4", 2), "-f", "lavfi", "-i", "sine=f=2000:d=2", "-map", "0:v", "-map", "0:a",
           "-map", "1:a", "-c:v", "copy", "-disposition:a:0", "0", "-disposition:a:1", "default", path)  # fmt: skip
    samples = read(path, LOW).waveforms[LOW].samples[:32000]
    assert np.argmax(np.abs(np.fft.rfft(samples))) / 2 == pytest.approx(2000, abs=2)


def test_damage_in_the_middle_keeps_the_rest_and_says_so(media_dir, ffmpeg, tmp_path, read):
    source = media_dir / "sound.m4a"
    ffmpeg("-f", "lavfi", "-i", "anoisesrc=d=4:a=0.5", "-c:a", "aac", "-movflags", "+faststart", str(source))
    data = bytearray(Path(source).read_bytes())
    middle = len(data) // 2
    data[middle : middle + 4000] = os.urandom(4000)
    broken = tmp_path / "broken.m4a"
    broken.write_bytes(data)
    sound = read(str(broken))
    assert sound.note
    assert sound.waveforms[LOW].valid_samples > 3.8 * 16_000
    assert np.abs(sound.waveforms[LOW].samples[-8000:]).max() > 0.1


def test_undecodable_sound_is_an_error_in_ffmpegs_words(media_dir, ffmpeg, tmp_path, read):
    path = tmp_path / "none.m4a"
    ffmpeg("-f", "lavfi", "-i", "anoisesrc=d=2", "-c:a", "flac", "-f", "mp4", str(path))
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4
    stop = data.index(b"moov") - 4
    data[start:stop] = bytes(stop - start)
    path.write_bytes(data)
    with pytest.raises(MediaProblem, match=r"(?i)invalid|error|header") as caught:
        read(str(path))
    assert caught.value.status in (Status.DECODE_ERROR, Status.TOO_SHORT)


def test_eleven_minutes_cost_ten_seconds(media_dir, ffmpeg, read):
    path = str(media_dir / "eleven_minutes.m4a")
    ffmpeg("-f", "lavfi", "-i", "sine=d=660:r=16000", "-c:a", "aac", "-b:a", "32k", path)
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    sound = read(path, clip_seconds=10, start_seconds=600.0)
    assert sound.waveforms[HIGH].valid_samples == 480_000
    assert np.abs(sound.waveforms[LOW].samples[-100:]).max() > 0.05
    assert len(list(Path("/proc/self/fd").iterdir())) <= descriptors  # fewer, where an earlier test's are collected
