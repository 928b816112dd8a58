from dataclasses import replace

import pytest

from pipeline.cli.model_actions import cost_table
from pipeline.models.config import PARSERS, SYSTEMS, HANConfig, LEAPConfig, MMPyrConfig, ParserConfig
from pipeline.models.decoders.leap import LEAPDecoder
from pipeline.models.info import model_info
from pipeline.models.published_cost import published_cost
from pipeline.models.timing import time_model

TEST_MODE = replace(SYSTEMS["mmcse"], reconstruct=False)
CLAP_TEST_MODE = replace(SYSTEMS["mmcse-clap-clip"], reconstruct=False)


@pytest.mark.parametrize(
    ("config", "published", "live"),
    [
        (SYSTEMS["han"], 9_307_723, 4_569_675),
        (SYSTEMS["mmpyr"], 43_995_725, 40_827_469),
        (SYSTEMS["valor"], 5_096_523, 5_096_523 - 4 * 512),
        (SYSTEMS["valor-plus"], 5_052_235, 5_052_235 - 4 * 256),
        (SYSTEMS["valor-plusplus"], 4_888_395, 4_888_395 - 4 * 256),
        (SYSTEMS["leap-mmpyr"], 52_005_380, 52_005_380 - 4_749_312),
        (SYSTEMS["leap-han"], 12_581_378, 12_581_378 - 1_576_960 - 4 * 1_024 - 2_048),
        (SYSTEMS["mmcse"], 6_324_685, 6_324_685 - 4 * 128),
        (TEST_MODE, 4_488_653, 4_488_653 - 4 * 128),
        (SYSTEMS["mmcse-clap-clip"], 6_160_845, 6_160_845 - 4 * 128),
        (CLAP_TEST_MODE, 4_324_813, 4_324_813 - 4 * 128),
        (replace(SYSTEMS["leap-mmpyr"], decoder=LEAPConfig(blocks=1)), 48_847_364, None),
        (replace(SYSTEMS["leap-mmpyr"], decoder=LEAPConfig(blocks=4)), 58_321_412, None),
    ],
)
def test_parameters(config, published, live):
    info = model_info(config)
    assert info.published.parameters == published
    assert live is None or info.whole.parameters == live


def test_live_weights_of_the_decoder():
    decoder = LEAPDecoder(512)
    assert sum(parameter.numel() for parameter in decoder.blocks.parameters()) == 6_311_936


def test_options_that_nobody_published_have_no_published_count():
    assert published_cost(ParserConfig(encoder=HANConfig(layers=2, stacking="stacked"))) is None
    assert published_cost(ParserConfig(decoder=LEAPConfig(norm="paper"))) is None
    assert published_cost(ParserConfig(decoder=LEAPConfig(label_dim=0))) is None
    assert published_cost(ParserConfig(decoder=LEAPConfig(output="average"))) is None
    for changes in ({"secm": "paper"}, {"decoupling": "classes"}, {"intra": "secm"}, {"cross": "none"}):
        assert published_cost(replace(TEST_MODE, **changes)) is None


def test_leaps_operations_are_the_published_and_what_we_save():
    """fvcore's count of the published code, one clip of 10 segments: the whole, and the decoder (appendix C)."""
    info = model_info(SYSTEMS["leap-mmpyr"])
    assert (info.published.flops, info.published.parameters) == (790_778_880, 52_005_380)
    assert (info.published_decoder.flops, info.published_decoder.parameters) == (145_971_200, 7_892_992)
    frames = 70 * 2048 * 512  # published: each of 80 frames is projected, then averaged
    keys = 2 * 10 * 512 * 512  # published: the second question computes the keys again
    level_sum = 2 * 10 * 4 * 512  # published: the sum over levels is a matrix product
    assert info.published.flops - info.whole.flops == frames + keys + level_sum
    assert info.parts["decoder"].parameters == 6_311_936
    assert info.parts["decoder"].flops == 145_971_200 - keys


@pytest.mark.parametrize(("blocks", "parameters"), [(1, 4_734_976), (4, 14_209_024)])
def test_published_decoders_of_other_lengths(blocks, parameters):
    info = model_info(replace(SYSTEMS["leap-mmpyr"], decoder=LEAPConfig(blocks=blocks)))
    assert info.published_decoder.parameters == parameters
    block = 2 * (120 * 262_144 + 128_000 + 2 * 128_000)  # projections, norms, scores and mixing, both streams
    keys_and_scores = 2 * (35 * 262_144 + 128_000)
    assert info.published_decoder.flops == blocks * block + keys_and_scores


@pytest.mark.parametrize(
    ("config", "billions"),
    [(SYSTEMS["valor-plus"], 0.130), (SYSTEMS["valor-plusplus"], 0.493), (TEST_MODE, 0.831), (CLAP_TEST_MODE, 1.194)],
)
def test_other_systems_agree_with_fvcores_rounded_counts(config, billions):
    assert round(model_info(config).published.flops / 1e9, 3) == billions


@pytest.mark.parametrize(
    "config",
    [*PARSERS.values(), replace(SYSTEMS["mmcse"], encoder=MMPyrConfig(), width=512), replace(TEST_MODE, intra="none")],
)
def test_parts_add_up_to_the_whole(config):
    info = model_info(config)
    for name in ("parameters", "multiply_adds", "flops"):
        assert sum(getattr(part, name) for part in info.parts.values()) == getattr(info.whole, name)


def test_localizers_are_counted_whole():
    info = model_info(SYSTEMS["avel-psp"])
    assert not info.parts
    assert info.published is None
    assert info.whole.multiply_adds > 1e8


def test_the_table_of_model_info():
    lines = cost_table(model_info(replace(SYSTEMS["leap-mmpyr"], width=64))).splitlines()
    names = [line.split("|")[1].strip() for line in lines[2:]]
    assert names == ["input projection", "encoder", "labels", "decoder", "video heads", "whole", "published code",
                     "its decoder"]  # fmt: skip
    assert "published code" not in cost_table(model_info(replace(SYSTEMS["mmcse"], decoupling="classes", width=64)))


def test_times_are_measured():
    config = replace(SYSTEMS["han"], width=16)
    found = time_model(config, clips=2, seconds=0.0)
    assert (found.runs, found.clips, found.device) == (5, 2, "cpu")
    assert 0 < found.fastest <= found.median <= found.slowest
