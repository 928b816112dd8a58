"""A file of any length through a parser: windows, missing modalities, and what is done twice."""

from dataclasses import replace

import numpy as np
import pytest
from toy_parser import ToyParser

from pipeline.extraction.decode_pools import DecodePools
from pipeline.extraction.reporting import Reporter
from pipeline.parsing.choose_model import choose_weights, weights_of
from pipeline.parsing.decisions import EventRules
from pipeline.parsing.parse_file import CannotParse, HowToParse, parse_file
from pipeline.parsing.work_store import Resident, WindowReader, in_seconds
from storage.errors import InvalidInput
from storage.store import FeatureStore

WEIGHTS = {"toy_visual": "random:0", "toy_audio": "random:0"}


class Counting(Reporter):
    def __init__(self):
        self.read = 0

    def clip_read(self, row, report):
        self.read += 1


@pytest.fixture
def parse(toys, tmp_path):
    def run(path, *, model=None, store="work.zarr", reporter=None, **how):
        how = {"preview": False, **how}
        return parse_file(
            path, model or ToyParser(), HowToParse(WEIGHTS, **how), store_url=str(tmp_path / store),
            reporter=reporter or Reporter(), resident=resident,
        )  # fmt: skip

    with DecodePools() as pools:
        resident = Resident(pools)
        yield run


@pytest.fixture(scope="session")
def scenes(ffmpeg, media_dir):
    """Red and silent for 5 s, green with a tone for 4 s, blue and silent to 12.7 s."""
    path = media_dir / "scenes.mp4"
    pictures = "".join(f"color={c}:s=64x48:r=10:d={d}[{c}];" for c, d in (("red", 5), ("lime", 4), ("blue", 3.7)))
    sound = "aevalsrc='if(between(t,5,9),0.4*sin(880*PI*t),0)':s=16000:d=12.7[a]"
    ffmpeg("-filter_complex", f"{pictures}[red][lime][blue]concat=n=3:v=1:a=0[v];{sound}", "-map", "[v]",
           "-map", "[a]", "-c:v", "libx264", "-g", "10", "-pix_fmt", "yuv420p", "-c:a", "aac", str(path))  # fmt: skip
    return path


def said(video):
    return [(event.label, event.modality, event.start_seconds, event.end_seconds) for event in video.events]


def test_events_of_a_long_file_have_its_own_times(parse, scenes):
    found = parse(scenes)
    assert said(found) == [("red", "visual", 0, 5), ("green", "visual", 5, 9), ("loud", "audio", 5, 9)]
    assert found.duration_seconds == pytest.approx(12.7, abs=0.05)
    assert found.segments == 13
    assert found.probabilities["visual"].shape == (13, 3)
    assert found.notes == ()
    assert 0.9 < found.events[0].mean <= found.events[0].peak <= 1


@pytest.mark.parametrize("hop", [1, 2, 3, 4])
def test_every_hop_decodes_each_second_once(parse, scenes, hop):
    counting = Counting()
    found = parse(scenes, hop=hop, reporter=counting)
    assert counting.read == 4
    assert said(found) == said(parse(scenes, hop=hop, store=f"again-{hop}"))


def test_a_second_parse_reads_nothing(parse, scenes):
    first = parse(scenes)
    counting = Counting()
    second = parse(scenes, reporter=counting, rules=EventRules(threshold=0.99))
    assert counting.read == 0
    np.testing.assert_array_equal(first.probabilities["audio"], second.probabilities["audio"])
    assert second.settings["thresholds"]["audio"] == [0.99] * 3


def test_a_part_has_the_events_of_the_whole(parse, scenes, ffmpeg, media_dir):
    part = media_dir / "first8.mp4"
    ffmpeg("-i", str(scenes), "-t", "8", "-c", "copy", str(part))
    whole, cut = parse(scenes), parse(part, store="part.zarr")
    # Seconds whose windows lie in both.
    np.testing.assert_allclose(cut.probabilities["visual"][:6], whole.probabilities["visual"][:6], atol=1e-6)
    np.testing.assert_allclose(cut.probabilities["audio"][:6], whole.probabilities["audio"][:6], atol=5e-3)


def test_a_lacking_modality_is_told_and_the_other_parsed(parse, make_clip, tmp_path):
    silent = make_clip(tmp_path / "silent.mp4", colour="red", seconds=3, audio=False)
    found = parse(silent)
    assert set(found.probabilities) == {"visual"}
    assert said(found) == [("red", "visual", 0, 3)]
    assert found.notes == ("no sound: no audio stream",)
    sound = make_clip(tmp_path / "sound.m4a", seconds=3, video=False)
    found = parse(sound, store="sound.zarr")
    assert set(found.probabilities) == {"audio"}
    assert said(found) == [("loud", "audio", 0, 3)]
    assert found.notes == ("no picture: no video stream",)


def test_sound_that_ends_early_is_not_made_up(parse, make_clip, ffmpeg, tmp_path):
    path = make_clip(tmp_path / "short.mp4", colour="red", seconds=6)
    late = tmp_path / "late.mp4"
    ffmpeg(
        "-i", str(path), "-filter_complex", "[0:a]atrim=0:2[a]", "-map", "0:v", "-map", "[a]", "-c:v", "copy", str(late)
    )
    found = parse(late)
    assert said(found) == [("red", "visual", 0, 6), ("loud", "audio", 0, 2)]
    assert np.isnan(found.probabilities["audio"][3:]).all()
    assert any(note.startswith("no sound in 4 of 6 s") for note in found.notes), found.notes


@pytest.mark.parametrize("contents", [b"", b"no media at all", None])
def test_a_file_that_cannot_be_parsed_says_why(parse, tmp_path, contents):
    path = tmp_path / "broken.mp4"
    if contents is not None:
        path.write_bytes(contents)
    with pytest.raises(CannotParse, match=r"broken\.mp4: \w+: "):
        parse(path)


def test_the_published_sampling_is_for_single_clips(parse, scenes, make_clip, tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", colour="red", seconds=5)
    found = parse(clip, model=ToyParser(sampling="published"))
    assert (found.duration_seconds, found.segments, found.notes) == (4.0, 4, ())
    assert FeatureStore.open(str(tmp_path / "work.zarr")).provenance("toy_visual").sampling == "published"
    found = parse(scenes, model=ToyParser(sampling="published"), store="long.zarr")
    assert found.segments == 13
    assert any("uniform grid" in note for note in found.notes)


def test_windows_of_arrays_without_seconds_are_tiles(toys, parse, scenes, tmp_path, monkeypatch):
    from toy_backbones import ToyAudio

    from storage.schema import FeatureSpec

    monkeypatch.setattr(ToyAudio, "specs", property(lambda self: (FeatureSpec("toy_audio", 4, 3, "audio", None),)))
    model = ToyParser()
    assert not in_seconds(model)
    counting = Counting()
    found = parse(scenes, model=model, reporter=counting)
    assert counting.read == 6
    assert said(found) == [("red", "visual", 0, 5), ("green", "visual", 5, 9), ("loud", "audio", 5, 9)]


def test_seconds_without_values_repeat_their_neighbour(toys, parse, scenes, tmp_path):
    from pipeline.parsing.tiles import cut

    parse(scenes)
    store = FeatureStore.open(str(tmp_path / "work.zarr"))
    reader = WindowReader(store, cut(12.7, window=4, hop=2), ToyParser().inputs, whole=False)
    last = reader.read(slice(5, 6))["toy_visual"][0].reshape(4, 4, 3)
    np.testing.assert_array_equal(last[3], last[2])  # second 13 is past the end


def test_weights_by_backbone(toys):
    model = ToyParser(weights="pretrained")
    assert weights_of(model, []) == {"toy_visual": "pretrained", "toy_audio": "pretrained"}
    assert weights_of(model, ["toy_audio=random:3"]) == {"toy_visual": "pretrained", "toy_audio": "random:3"}
    assert weights_of(model, ["random:1", "toy_audio=random:3"]) == {"toy_visual": "random:1", "toy_audio": "random:3"}
    with pytest.raises(InvalidInput, match="not among the backbones"):
        weights_of(model, ["clap=random:3"])


@pytest.mark.parametrize(
    ("segments", "fitting", "half"), [(4, (1, 2, 3, 4), 2), (2, (2, 4), 2), (1, (4,), 4), (8, (1, 2, 3, 4), 2)]
)
def test_windows_begin_where_segments_do(segments, fitting, half):
    model = ToyParser()
    model.segments = segments
    assert HowToParse(WEIGHTS).hop_of(model) == half
    for hop in range(1, 6):
        if hop in fitting:
            assert HowToParse(WEIGHTS, hop=hop).hop_of(model) == hop
        else:
            with pytest.raises(InvalidInput, match=f"--hop {hop}: expected whole segments within a window"):
                HowToParse(WEIGHTS, hop=hop).hop_of(model)


def test_what_a_long_file_lacks_is_said_once(parse, make_clip, ffmpeg, tmp_path):
    silent = make_clip(tmp_path / "silent.mp4", colour="red", seconds=14, audio=False)
    assert parse(silent).notes == ("no sound: no audio stream",)
    sound = make_clip(tmp_path / "sound.m4a", seconds=6, video=False)
    early = tmp_path / "early.mp4"
    ffmpeg("-i", silent, "-i", sound, "-c", "copy", early)
    assert parse(early, store="early.zarr").notes == ("no sound in 8 of 14 s",)
    short = make_clip(tmp_path / "short.mp4", seconds=0.5)
    with pytest.raises(CannotParse, match=r"short.mp4: the clip's video lasts 0\.50 s; at least 1 s is needed"):
        parse(short, store="short.zarr")


def test_hops_are_whole_numbers(parse, scenes):
    for hop in (0, 1.5, 2.0):
        with pytest.raises(InvalidInput, match="expected whole segments within a window, one of 1, 2, 3, 4 s"):
            parse(scenes, hop=hop)


def test_every_backbone_keeps_its_identity(toys):
    model = ToyParser(weights="pretrained")
    model.facts = replace(model.facts, weights={"toy_audio": "random:0", "parser": "sha256:1"})
    choose_weights(model, ["random:1"])
    assert model.facts.weights == {"toy_audio": "random:1", "parser": "sha256:1", "toy_visual": "random:1"}
