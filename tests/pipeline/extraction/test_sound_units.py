import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from extractors import registry
from extractors.audio.vggish import Vggish
from extractors.base import Units
from extractors.failure import Failure
from extractors.registry import BACKBONES
from pipeline.decode.clip import decode_clip, decode_here
from pipeline.decode.clip_buffer import DecodeRequest, open_buffer
from pipeline.extraction import fill
from pipeline.extraction.extract import extract
from pipeline.extraction.options import ExtractOptions
from pipeline.extraction.sound_units import units_views, with_units
from pipeline.extraction.workers import DecodePool
from storage.clips import ClipTable
from storage.errors import InvalidInput
from storage.store import FeatureStore

LISTENING = ("vggish", "clap", "yamnet")


class Odd(Vggish):
    """VGGish, whose code does not stand loud sound."""

    def units(self, clip):
        if clip.samples.max() > 0.05:
            raise MemoryError("too loud") if self.variant == "pca" else ValueError("too loud\nby far")
        return super().units(clip)


class Longer(Vggish):
    """Gives one more unit of sound than of silence."""

    def units(self, clip):
        made = super().units(clip)
        return made if not clip.samples.any() else Units(made.data[:-1], made.valid[:-1])


class Deaf(Vggish):
    """Does not stand silence."""

    def units(self, clip):
        raise ZeroDivisionError


@pytest.fixture
def odd(monkeypatch):
    for kind in (Odd, Longer, Deaf):
        monkeypatch.setitem(BACKBONES, f"test_{kind.__name__.lower()}", f"{__name__}:{kind.__name__}")
        monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or sys.modules[kind.__module__])


def request_for(path, names, seconds=2):
    extractors = [registry.create(name, clip_seconds=seconds) for name in names]
    sounds = tuple(dict.fromkeys(item.view for item in extractors))
    return extractors, DecodeRequest(
        "a", str(path), clip_seconds=seconds, audio_views=sounds, units=units_views(extractors)
    )


def decoded_with_units(request):
    buffer = bytearray(request.shape.nbytes)
    report = with_units(request, buffer, decode_clip(request, buffer))
    return open_buffer(request, buffer, report)


@pytest.mark.parametrize("cut_seconds", [2.0, 1.2])
def test_workers_make_the_units_that_the_backbone_makes_here(make_clip, tmp_path, cut_seconds):
    path = make_clip(tmp_path / "a.mp4", seconds=cut_seconds)
    extractors, request = request_for(path, LISTENING)
    plain = decode_here(replace(request, units=()))
    with DecodePool(request.shape, workers=1) as pool:
        (clip,) = pool.decode([request])
        for extractor in extractors:
            expected, made = extractor.units(plain.waveforms[extractor.view]), clip.units[extractor.name]
            np.testing.assert_array_equal(made.valid, expected.valid)
            assert made.data.dtype == expected.data.dtype
            np.testing.assert_array_equal(made.data, expected.data)
        clip.release()
        assert not clip.units


def test_units_have_the_same_bits_on_one_thread_and_on_two():
    code = """
import hashlib, sys
import numpy as np, torch
from extractors import registry
from extractors.base import Waveform
torch.set_num_threads(int(sys.argv[1]))
for name in sys.argv[2:]:
    extractor = registry.create(name)
    rate = extractor.view.sample_rate_hz
    sound = np.random.RandomState(0).uniform(-0.5, 0.5, 10 * rate).astype(np.float32)
    print(hashlib.sha256(extractor.units(Waveform(sound, rate, 10 * rate)).data.tobytes()).hexdigest())
"""
    run = [subprocess.run([sys.executable, "-c", code, str(threads), *LISTENING], capture_output=True, text=True)
           for threads in (1, 2)]  # fmt: skip
    assert run[0].stdout.count("\n") == len(LISTENING), run[0].stderr
    assert run[0].stdout == run[1].stdout


def test_a_backbone_that_fails_on_a_clip_is_told_and_the_others_have_theirs(odd, make_clip, tmp_path):
    path = make_clip(tmp_path / "a.mp4")
    _, request = request_for(path, ("vggish", "test_odd", "test_odd:pca", "test_longer"))
    clip = decoded_with_units(request)
    assert set(clip.units) == {"vggish"}
    assert clip.report.no_units == {
        "test_odd": Failure("ValueError: too loud"),
        "test_odd:pca": Failure("MemoryError: too loud", out_of_memory=True),
        "test_longer": Failure("ValueError: units() gave float32 [1, 1, 96, 64], float32 [2, 1, 96, 64] of silence"),
    }


def test_a_store_is_the_same_whoever_makes_the_units(toys, six_clips, tmp_path, monkeypatch):
    names, table = ("toy_visual", "toy_audio", "vggish"), ClipTable.load(str(six_clips))
    options = ExtractOptions(names, ("random:1",), clip_seconds=2, shard_size=4, engine="torch")
    made_here = []
    plain = Vggish.units
    monkeypatch.setattr(Vggish, "units", lambda *given: made_here.append(given) or plain(*given))
    stores, calls = [], []
    for in_workers in (False, True):
        monkeypatch.setattr(fill, "feeds_gpu", {"auto": in_workers}.get)
        extract(table, str(tmp_path / f"{in_workers}.zarr"), options)
        stores.append(FeatureStore.open(str(tmp_path / f"{in_workers}.zarr")))
        calls.append(len(made_here))
        made_here.clear()
    assert calls[0] == len(table.clips)
    assert calls[1] <= 1, "one call tells the shape of the units"
    for name in names:
        np.testing.assert_array_equal(*(store.read(name, slice(0, 6)) for store in stores))


def test_a_clip_without_sound_has_no_units(make_clip, tmp_path):
    path = make_clip(tmp_path / "a.mp4", audio=False)
    _, request = request_for(path, ("vggish",))
    clip = decoded_with_units(request)
    assert not clip.units
    assert not clip.report.no_units


def test_a_backbone_that_cannot_cut_silence_is_refused(odd):
    with pytest.raises(InvalidInput, match=r"test_deaf: units\(\) fails on silence: ZeroDivisionError. See: avvp back"):
        request_for("a.mp4", ("test_deaf",))
